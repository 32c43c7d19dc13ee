"""The files that deploy vmhub: Cloud Run jobs and their schedules, systemd units, a crontab."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from loader.base.environment import Environment
from loader.dbt.project import find_project
from whatsapp.webhook.app import Bounds
from whatsapp.webhook.process import secret_names

if TYPE_CHECKING:
    from pathlib import Path

ROOT = find_project().root
CLOUD_RUN = ROOT / "deploy" / "cloud-run"
SYSTEMD = ROOT / "deploy" / "systemd"

# Cloud Run

GCLOUD = """#!/usr/bin/env bash
# Records its calls; a resource that it is asked for exists or not, as the test says.
echo "$*" >>"$CALLS"
case " $* " in
    *" describe "*) exit "$KNOWS_NOTHING" ;;
    *" run jobs replace "*) cp "$4" "$CALLS.$(sed -n 's/^  name: //p' "$4")" ;;
    *" run worker-pools replace "*) cp "$5" "$CALLS.$(sed -n 's/^  name: //p' "$5")" ;;
esac
"""


def _deploy(folder: Path, script: str, *arguments: str, is_known: bool, **given: str) -> str:
    """Run a script with a gcloud and a bq that only record their calls; return the calls."""
    folder.mkdir()
    for name in ("gcloud", "bq"):
        (folder / name).write_text(GCLOUD)
        (folder / name).chmod(0o755)
    variables = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "CALLS": str(folder / "calls"),
        "KNOWS_NOTHING": "0" if is_known else "1",
    }
    command = [str(CLOUD_RUN / script), *arguments]
    subprocess.run(command, env={**variables, **given}, check=True, capture_output=True)
    return (folder / "calls").read_text()


NAMED = {"PROJECT": "my-project", "REGION": "southamerica-east1", "IMAGE": "images.example/vmhub:1"}


def test_deploying_twice_makes_everything_once_and_brings_it_in_line_afterwards(
    tmp_path: Path,
) -> None:
    first = _deploy(tmp_path / "first", "deploy.sh", is_known=False, **NAMED)
    assert first.count("iam service-accounts create") == 5
    assert "scheduler jobs create http vmhub-run" in first
    # Without a secret there are no receivers of alerts.
    assert "vmhub-alert-urls" in first
    assert "scheduler jobs create http vmhub-alert" not in first
    # Nor is there a sender without the key of the phones.
    assert "worker-pools" not in first
    again = _deploy(tmp_path / "again", "deploy.sh", is_known=True, **NAMED)
    assert not re.search(r"\bcreate\b", again)
    assert re.findall(r"scheduler jobs update http (\S+)", again) == ["vmhub-run", "vmhub-alert"]
    assert re.findall(r"--schedule (\S+ \* \* \* \*)", again) == ["5 * * * *", "35 * * * *"]
    assert again.count("/namespaces/my-project/jobs/vmhub-run:run ") == 1
    assert again.count("--oauth-service-account-email vmhub-scheduler@my-project.iam") == 2


def test_the_jobs_have_what_cloud_run_asks_for(tmp_path: Path) -> None:
    _deploy(tmp_path / "d", "deploy.sh", is_known=True, TASKS="3", JOBS="2", **NAMED)
    run, alert = (
        yaml.safe_load((tmp_path / "d" / f"calls.{name}").read_text())
        for name in ("vmhub-run", "vmhub-alert")
    )
    for job, tasks in ((run, 3), (alert, 1)):
        assert (job["apiVersion"], job["kind"]) == ("run.googleapis.com/v1", "Job")
        assert "${" not in json.dumps(job)
        execution = job["spec"]["template"]["spec"]
        assert execution["taskCount"] == execution["parallelism"] == tasks
        task = execution["template"]["spec"]
        assert task["maxRetries"] == 0
        assert 0 < task["timeoutSeconds"] < 3600
        name = job["metadata"]["name"]
        assert task["serviceAccountName"] == f"{name}@my-project.iam.gserviceaccount.com"
        [container] = task["containers"]
        assert container["image"] == NAMED["IMAGE"]
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}
        variables = {variable["name"]: variable for variable in container["env"]}
        assert variables["GOOGLE_CLOUD_PROJECT"]["value"] == "my-project"
    [container] = run["spec"]["template"]["spec"]["template"]["spec"]["containers"]
    assert container["args"][-4:] == ["--jobs", "2", "--time-limit", "900"]
    # The URLs of alerts are not in the file.
    assert variables["VMHUB_ALERT_URLS"]["valueFrom"] == {
        "secretKeyRef": {"name": "vmhub-alert-urls", "key": "latest"}
    }


def test_the_sender_is_a_worker_pool_that_reads_the_secrets_it_is_told(tmp_path: Path) -> None:
    calls = _deploy(tmp_path / "d", "deploy.sh", is_known=True, TOKENS="token-a token-b", **NAMED)
    assert re.search(r"^beta run worker-pools replace ", calls, re.MULTILINE)
    read = re.findall(r"secrets add-iam-policy-binding (\S+) .*serviceAccount:vmhub-(\S+?)@", calls)
    assert sorted(read) == [
        ("token-a", "send"),
        ("token-a", "webhook"),
        ("token-b", "send"),
        ("token-b", "webhook"),
        ("vmhub-alert-urls", "alert"),
        ("vmhub-app-secret", "webhook"),
        ("vmhub-phone-key", "send"),
        ("vmhub-phone-key", "webhook"),
        ("vmhub-verify-token", "webhook"),
    ]
    pool = yaml.safe_load((tmp_path / "d" / "calls.vmhub-send").read_text())
    assert (pool["kind"], pool["metadata"]["name"]) == ("WorkerPool", "vmhub-send")
    assert "${" not in json.dumps(pool)
    annotations = pool["metadata"]["annotations"]
    assert annotations["run.googleapis.com/manualInstanceCount"] == "1"
    spec = pool["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] == "vmhub-send@my-project.iam.gserviceaccount.com"
    [container] = spec["containers"]
    assert container["args"][-1] == "send"
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    # The name of the secret, never what is in it.
    assert variables["VMHUB_PHONE_KEY_SECRET"].endswith("/secrets/vmhub-phone-key/versions/latest")


@pytest.mark.parametrize("accounts", ["", "vmhub-{cnpj}@my-project.iam.gserviceaccount.com"])
def test_the_hourly_run_acts_as_each_laundromats_account_once_there_are_some(
    tmp_path: Path, accounts: str
) -> None:
    _deploy(tmp_path / "d", "deploy.sh", is_known=True, IMPERSONATE=accounts, **NAMED)
    run = yaml.safe_load((tmp_path / "d" / "calls.vmhub-run").read_text())
    [container] = run["spec"]["template"]["spec"]["template"]["spec"]["containers"]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    given = Environment.from_variables({**variables, "DBT_TARGET": "prod"})
    assert given.account("12ABC34501DE35") == (
        "vmhub-12abc34501de35@my-project.iam.gserviceaccount.com" if accounts else None
    )


CNPJS = ("12ABC34501DE35", "11222333000181")


def test_each_laundromat_has_an_account_that_reaches_its_datasets_only(tmp_path: Path) -> None:
    calls = _deploy(tmp_path / "a", "accounts.sh", *CNPJS, is_known=False, PROJECT="my-project")
    granted = re.findall(
        r"GRANT `roles/bigquery.(\S+)` ON SCHEMA `my-project`.`(\S+)` TO 'serviceAccount:(\S+)@",
        calls,
    )
    own = [row for row in granted if re.fullmatch(r"vmhub-\w{14}", row[2])]
    assert sorted(own) == sorted(
        (role, dataset, f"vmhub-{cnpj.lower()}")
        for cnpj in CNPJS
        for role, dataset in (
            ("dataViewer", f"{cnpj}_RAW"),
            ("dataEditor", f"{cnpj}_CAMPAIGN"),
            ("dataViewer", "VMHUB_OPS"),
        )
    )
    # The account that acts as them does not reach the datasets itself.
    assert [row for row in granted if row[2] == "vmhub-run"] == [
        ("dataEditor", "VMHUB_OPS", "vmhub-run")
    ]
    assert calls.count("session_user() = concat('vmhub-', lower(cnpj), ") == 2
    made = re.findall(r"iam service-accounts create (\S+)", calls)
    assert made == [f"vmhub-{cnpj.lower()}" for cnpj in CNPJS]
    bound = re.findall(r"service-accounts add-iam-policy-binding (\S+) .*TokenCreator", calls)
    assert bound == [f"{name}@my-project.iam.gserviceaccount.com" for name in made]


def test_people_see_the_records_of_all_laundromats(tmp_path: Path) -> None:
    groups = {"OWNERS": "group:owners@example.com", "AUDITORS": "group:auditors@example.com"}
    given = {"PROJECT": "my-project", **groups}
    calls = _deploy(tmp_path / "a", "accounts.sh", CNPJS[0], is_known=True, **given)
    policies = re.findall(r"ROW ACCESS POLICY jobs ON \S+\s+GRANT TO \((.*?)\)", calls)
    assert len(policies) == 2
    for policy in policies:
        members = re.findall(r"'([^']*)'", policy)
        accounts = [
            f"serviceAccount:vmhub-{name}@my-project.iam.gserviceaccount.com"
            for name in ("run", "alert")
        ]
        assert members == [*accounts, *groups.values()]


@pytest.mark.parametrize(
    ("script", "arguments", "given"),
    [
        ("accounts.sh", [], {"PROJECT": "my-project"}),
        ("accounts.sh", ["x`; drop"], {"PROJECT": "my-project"}),
        ("deploy.sh", [], {"PROJECT": "my-project"}),
        ("grant.sh", [], {"PROJECT": "my-project"}),
        ("grant.sh", ["x`; drop"], {"PROJECT": "my-project"}),
        ("grant.sh", ["--check"], {"PROJECT": "my-project"}),
    ],
)
def test_a_script_that_is_not_told_enough_does_nothing(
    tmp_path: Path, script: str, arguments: list[str], given: dict[str, str]
) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        _deploy(tmp_path / "d", script, *arguments, is_known=True, **given)
    assert not (tmp_path / "d" / "calls").exists()


def test_no_file_of_deploy_names_a_registry_or_holds_a_credential() -> None:
    files = [path for path in (ROOT / "deploy").rglob("*") if path.is_file()]
    assert len(files) > 8
    for path in [*files, ROOT / "Dockerfile"]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"pkg\.dev|gcr\.io|ghcr\.io|private_key|://[^/\s]*:[^/\s]*@", text)


def test_the_webhook_is_always_up_and_takes_as_much_as_its_process() -> None:
    service = yaml.safe_load((CLOUD_RUN / "webhook.yaml").read_text(encoding="utf-8"))
    template = service["spec"]["template"]
    annotations = template["metadata"]["annotations"]
    assert annotations["autoscaling.knative.dev/minScale"] == "1"
    # It tries receipts again and sends confirmations between two POSTs.
    assert annotations["run.googleapis.com/cpu-throttling"] == "false"
    assert template["spec"]["containerConcurrency"] == Bounds().at_a_time
    assert template["spec"]["timeoutSeconds"] > Bounds().body_seconds + Bounds().apply_seconds
    [container] = template["spec"]["containers"]
    assert container["args"][-3:] == ["webhook", "--host", "0.0.0.0"]
    assert container["startupProbe"]["httpGet"]["path"] == "/readyz"
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    assert secret_names(variables).verify_token.endswith("vmhub-verify-token/versions/latest")


def test_the_proxy_bounds_what_the_webhook_bounds() -> None:
    site = (ROOT / "deploy" / "nginx" / "vmhub-webhook.conf").read_text(encoding="utf-8")
    assert site.count("{") == site.count("}")
    assert f"client_max_body_size {Bounds().body_bytes // 1024 // 1024}m;" in site
    assert f"client_body_timeout {Bounds().body_seconds:.0f}s;" in site
    # A POST is never passed on a second time, and bodies are in no log.
    assert "proxy_next_upstream off;" in site
    assert "access_log off;" in site
    port = re.search(r"proxy_pass http://127.0.0.1:(\d+);", site)
    assert port is not None
    assert f"--port {port[1]}" in _unit("vmhub-webhook.service")["Service"]["ExecStart"]


# systemd and cron


class _Units(configparser.ConfigParser):
    """Keeps the case of option names."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def _unit(name: str) -> configparser.ConfigParser:
    unit = _Units(interpolation=None, strict=True)
    # systemd takes several files with variables; every other option is there once.
    text = (SYSTEMD / name).read_text(encoding="utf-8")
    unit.read_string(re.sub(r"(?m)^EnvironmentFile=.*$", "", text))
    return unit


def test_the_run_is_one_at_a_time_limited_and_drained_on_sigterm() -> None:
    service = _unit("vmhub-run.service")["Service"]
    assert service["Type"] == "oneshot"
    assert service["KillMode"] == "mixed"
    assert service["TimeoutStartSec"] == "55min"
    assert service["SuccessExitStatus"] == "130 143"
    assert service["User"] != "root"


@pytest.mark.parametrize("name", ["vmhub-run", "vmhub-alert"])
def test_each_service_has_its_timer(name: str) -> None:
    timer = _unit(f"{name}.timer")
    assert timer["Install"]["WantedBy"] == "timers.target"
    assert re.fullmatch(r"\*-\*-\* \*:(05|35):00", timer["Timer"]["OnCalendar"])
    assert timer["Timer"].get("Persistent") == ("true" if name == "vmhub-run" else None)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for path in SYSTEMD.glob("vmhub-*"):
        # systemd-analyze also checks whether the program exists.
        text = re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", path.read_text())
        (tmp_path / path.name).write_text(text)
    units = sorted(map(str, tmp_path.iterdir()))
    verified = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
@pytest.mark.parametrize("name", ["alert", "run", "send", "webhook"])
def test_a_service_of_systemd_reaches_little_of_its_machine(name: str) -> None:
    unit = SYSTEMD / f"vmhub-{name}.service"
    # From 0, safe, to 100. What is left: the network, and memory that can be written and executed,
    # which libffi needs.
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager"]
    judged = subprocess.run([*command, str(unit)], capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout
    service = _unit(unit.name)["Service"]
    assert service["ProtectSystem"] == "strict"
    assert service["NoNewPrivileges"] == "true"
    assert service.get("ReadWritePaths", "/opt/vmhub/.vmhub") == "/opt/vmhub/.vmhub"


def test_every_line_of_cron_is_in_one_piece_and_a_shell_takes_it() -> None:
    lines = (ROOT / "deploy" / "cron" / "vmhub").read_text(encoding="utf-8").splitlines()
    jobs = [line for line in lines if re.match(r"[0-9*]", line)]
    assert len(jobs) == 2
    for line in jobs:
        *when, user, command = line.split(maxsplit=6)
        assert re.fullmatch(r"\d+ \* \* \* \*", " ".join(when))
        assert user == "vmhub"
        # cron would end the command at a percent sign.
        assert "%" not in command
        subprocess.run(["sh", "-n", "-c", command], check=True)
    assert "flock --nonblock" in jobs[0]


# The variables with a secret or with its name.
SECRETS = {
    "run": set(),
    "alert": {"VMHUB_ALERT_URLS"},
    "send": {"VMHUB_PHONE_KEY_SECRET"},
    "webhook": {"VMHUB_PHONE_KEY_SECRET", "VMHUB_APP_SECRETS", "VMHUB_VERIFY_TOKEN_SECRET"},
}


@pytest.mark.parametrize("name", SECRETS)
def test_a_unit_gets_only_the_secrets_that_it_needs(name: str) -> None:
    files = re.findall(
        r"(?m)^EnvironmentFile=/etc/vmhub/(.*)$", (SYSTEMD / f"vmhub-{name}.service").read_text()
    )
    assert files == ["environment", name]
    offered: set[str] = set()
    for file in files:
        text = (SYSTEMD / f"{file}.example").read_text(encoding="utf-8")
        # Variables that are left out by a "#" too.
        offered |= set(re.findall(r"(?m)^#?([A-Z_]+)=", text))
    own = SECRETS[name] | ({"VMHUB_IMPERSONATE"} if name == "run" else set())
    common = {"GOOGLE_CLOUD_PROJECT", "DBT_TARGET", "DBT_PROFILES_DIR"}
    assert offered == common | own | {"GOOGLE_APPLICATION_CREDENTIALS"}
    given = yaml.safe_load((CLOUD_RUN / f"{name}.yaml").read_text(encoding="utf-8"))
    variables = set(re.findall(r'"name": "([A-Z_]+)"', json.dumps(given)))
    of_cloud = {"GOOGLE_CLOUD_PROJECT", "VMHUB_BIGQUERY_LOCATION"}
    assert variables - of_cloud == own


def test_cron_reads_the_same_files_as_the_units() -> None:
    lines = (ROOT / "deploy" / "cron" / "vmhub").read_text(encoding="utf-8").splitlines()
    read = [re.findall(r"\. /etc/vmhub/(\w+)", line) for line in lines if re.match(r"\d", line)]
    assert read == [["environment", "run"], ["environment", "alert"]]


@pytest.mark.parametrize("name", ["environment", *SECRETS])
def test_an_environment_is_read_by_a_shell_and_by_systemd_alike(name: str) -> None:
    path = SYSTEMD / f"{name}.example"
    text = path.read_text(encoding="utf-8")
    given = dict(
        line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#")
    )
    read = subprocess.run(
        ["sh", "-c", f'set -a; . "{path}"; env'],
        env={},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {f"{name}={value}" for name, value in given.items()} <= set(read.stdout.splitlines())
