"""The command line as a shell sees it: exit codes, one line of error, and results as JSON."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from typer.testing import CliRunner

from loader.base.errors import ConfigurationError, ExitCode
from loader.cli.app import COMMANDS, app, main
from loader.cli.local import local_app
from loader.cli.send import send_app
from loader.cli.templates import templates_app
from loader.dbt.project import find_project
from loader.firestore.targets import TargetStore
from loader.operations.onboard import onboard
from tests.loader.fakes import make_target
from tests.loader.published import publish
from tests.support import AS_OF, NUMERIC_CNPJ, documents, make_laundromat

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from loader.base.environment import Environment
    from loader.local.stack import LocalStack
    from loader.services import Services
    from loader.sync.model import Target

NOBODY = {
    "GOOGLE_CLOUD_PROJECT": "test-nobody",
    "FIRESTORE_EMULATOR_HOST": "127.0.0.1:1",
    "BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:1",
    "BIGQUERY_STORAGE_EMULATOR_HOST": "127.0.0.1:1",
}
CNPJ_ARGUMENTS = ("--cnpj", NUMERIC_CNPJ)
AS_OF_ARGUMENTS = ("--as-of", AS_OF.isoformat())


@dataclass(frozen=True)
class Ended:
    """The result of a command: its exit code and its output."""

    code: int
    out: str
    err: str

    def error(self) -> str:
        """Return the single error line of a command."""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("vmhub: ERROR: ")
        assert "Traceback" not in self.err
        assert self.out == ""
        return lines[0].removeprefix("vmhub: ERROR: ")

    def json(self) -> Any:
        """Return the single JSON object that a command printed."""
        assert self.out.count("\n") == 1
        return json.loads(self.out)


class Vmhub(Protocol):
    """Runs a command like `python -m loader`, and waits for its end."""

    def __call__(self, *arguments: str, variables: Mapping[str, str] = NOBODY) -> Ended: ...


@pytest.fixture
def vmhub(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Vmhub]:
    """Run the command line inside this process, which saves the seconds of its imports."""

    def run(*arguments: str, variables: Mapping[str, str] = NOBODY) -> Ended:
        capsys.readouterr()
        with monkeypatch.context() as patch:
            for name in NOBODY:
                patch.delenv(name, raising=False)
            for name, value in variables.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["vmhub", *arguments])
            with pytest.raises(SystemExit) as ended:
                main()
        return Ended(int(ended.value.code or 0), *capsys.readouterr())

    root, package = logging.getLogger(), logging.getLogger("loader")
    before = root.handlers[:], root.level, package.level, signal.getsignal(signal.SIGTERM)
    yield run
    root.handlers[:], root.level, package.level = before[:3]
    signal.signal(signal.SIGTERM, before[3])


def _start(*arguments: str, variables: Mapping[str, str]) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in NOBODY}
    return subprocess.Popen(
        [sys.executable, "-m", "loader", *arguments],
        env={**inherited, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=find_project().root,
    )


def _end(process: subprocess.Popen[str]) -> Ended:
    with process:
        out, err = process.communicate(timeout=60)
    return Ended(process.returncode, out, err)


def _help(*command: str) -> str:
    result = CliRunner().invoke(app, [*command, "--help"])
    assert result.exit_code == ExitCode.OK
    return result.stdout


# Help


def _all_commands() -> Iterator[tuple[str, ...]]:
    groups = {"local": local_app, "send": send_app, "templates": templates_app}
    for name in COMMANDS:
        if name not in {"local", "templates"}:
            yield (name,)
    for name, group in groups.items():
        for command in group.registered_commands:
            assert command.name is not None
            yield (name, command.name)


ALL_COMMANDS = tuple(_all_commands())


@pytest.mark.parametrize("command", ALL_COMMANDS, ids=" ".join)
def test_every_commands_help_has_an_example_of_it(command: tuple[str, ...]) -> None:
    text = " ".join(_help(*command).split())
    assert re.search(rf"Example: .*\bvmhub {' '.join(command)}\b", text)


def test_the_help_of_the_whole_names_every_command() -> None:
    text = _help() + _help("local") + _help("send") + _help("templates")
    assert all(re.search(rf"^  {command[-1]} ", text, re.MULTILINE) for command in ALL_COMMANDS)


# Usage and configuration


def test_wrong_check_digits_are_answered_with_the_right_ones() -> None:
    ended = _end(_start("sync", "--cnpj", "11.222.333/0001-82", variables={}))
    assert ended.code == ExitCode.CONFIGURATION
    assert "112223330001 would end in 81" in ended.error()


def test_errors_are_one_json_object_a_line_where_logs_are_json(vmhub: Vmhub) -> None:
    ended = vmhub("--log-format", "json", "sync", "--cnpj", "11222333000182")
    assert ended.code == ExitCode.CONFIGURATION
    record = json.loads(ended.err)
    assert record["severity"] == "ERROR"
    assert "would end in 81" in record["message"]


def test_a_shell_without_a_project_is_told_which_variable_to_set(vmhub: Vmhub) -> None:
    ended = vmhub("sync", *CNPJ_ARGUMENTS, variables={})
    assert ended.code == ExitCode.CONFIGURATION
    assert ended.error().startswith("GOOGLE_CLOUD_PROJECT is not set: ")


def test_half_a_local_stack_is_a_wrong_configuration(vmhub: Vmhub) -> None:
    half = {name: value for name, value in NOBODY.items() if "BIGQUERY" not in name}
    ended = vmhub("build", *CNPJ_ARGUMENTS, variables=half)
    assert ended.code == ExitCode.CONFIGURATION
    assert "must be set together" in ended.error()


@pytest.mark.parametrize("text", ["tomorrow", "2026-11-23T10:00:00", "2026-13-01T00:00:00Z", ""])
@pytest.mark.parametrize("command", ["build", "sync"])
def test_an_instant_without_an_offset_or_sense_is_refused(command: str, text: str) -> None:
    result = CliRunner().invoke(app, [command, *CNPJ_ARGUMENTS, "--as-of", text])
    assert isinstance(result.exception, ConfigurationError)
    assert result.exception.message.startswith("--as-of is ")
    assert "an instant" in result.exception.message
    assert not text or text not in result.exception.message


@pytest.mark.parametrize(
    "arguments",
    [
        ["sync"],
        ["nonsense"],
        ["onboard", *CNPJ_ARGUMENTS],
        ["sync", *CNPJ_ARGUMENTS, "--max-withdraw-percent", "101"],
        ["sync", *CNPJ_ARGUMENTS, "--max-age", "0"],
        ["report", *CNPJ_ARGUMENTS],
        ["status", "--failures", "0"],
        ["status", "--error-percent", "101"],
        ["status", "--raw-max-age", "0"],
        ["report", *CNPJ_ARGUMENTS, "--out", "report.html", "--days", "0"],
        ["report", *CNPJ_ARGUMENTS, "--out", "report.html", "--days", "367"],
        ["--log-format", "xml", "sync", *CNPJ_ARGUMENTS],
    ],
    ids=" ".join,
)
def test_wrong_usage_has_the_exit_code_of_configuration(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == ExitCode.CONFIGURATION
    assert result.stdout == ""


def test_an_unknown_laundromat_is_answered_with_the_command_that_registers_it(
    environment: Environment, vmhub: Vmhub
) -> None:
    ended = vmhub("sync", *CNPJ_ARGUMENTS, variables=environment.variables())
    assert ended.code == ExitCode.CONFIGURATION
    assert f"run `vmhub onboard --cnpj {NUMERIC_CNPJ}" in ended.error()


# A service that does not answer


@pytest.fixture
def silent_host() -> Iterator[tuple[str, socket.socket]]:
    """A port that accepts connections but never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(30)
        yield f"127.0.0.1:{listener.getsockname()[1]}", listener


def _unused_host() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{listener.getsockname()[1]}"


def test_a_firestore_that_does_not_answer_is_an_error_of_one_line_in_less_than_a_minute(
    silent_host: tuple[str, socket.socket],
) -> None:
    hosts = {"refuses": _unused_host(), "is silent": silent_host[0]}
    began = time.monotonic()
    # In parallel, since these commands only wait.
    started = {
        host: _start("sync", *CNPJ_ARGUMENTS, variables={**NOBODY, "FIRESTORE_EMULATOR_HOST": host})
        for host in hosts.values()
    }
    for host, process in started.items():
        ended = _end(process)
        # Some 10 seconds, and the start of a process; Google's own client waits for a minute.
        assert time.monotonic() - began < 60
        assert ended.code == ExitCode.FAILED
        assert f"the Firestore emulator at {host} does not answer" in ended.error()


@pytest.mark.parametrize(
    ("signal_", "code"),
    [(signal.SIGINT, ExitCode.INTERRUPTED), (signal.SIGTERM, 128 + signal.SIGTERM)],
    ids=["SIGINT", "SIGTERM"],
)
def test_an_interrupted_command_says_so_by_its_exit_code(
    signal_: signal.Signals, code: int, silent_host: tuple[str, socket.socket]
) -> None:
    host, listener = silent_host
    variables = {**NOBODY, "FIRESTORE_EMULATOR_HOST": host}
    with _start("sync", *CNPJ_ARGUMENTS, variables=variables) as process:
        connection, _ = listener.accept()
        with connection:
            process.send_signal(signal_)
            _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in err


# Onboarding


def test_onboarding_prints_one_object_and_can_be_repeated(
    environment: Environment, vmhub: Vmhub
) -> None:
    arguments = ("onboard", "--cnpj", "11.222.333/0001-81", "--name", "Lava Bem", "--json")
    first = vmhub(*arguments, variables=environment.variables())
    assert first.code == ExitCode.OK
    assert first.err == ""
    report = first.json()
    assert (report["cnpj"], report["is_new"]) == (NUMERIC_CNPJ, True)
    assert set(report["created_tables"]) == {
        f"{NUMERIC_CNPJ}_CAMPAIGN.message_history",
        f"{NUMERIC_CNPJ}_CAMPAIGN.opt_outs",
        "VMHUB_OPS.alerts",
        "VMHUB_OPS.audit",
        "VMHUB_OPS.fleet_runs",
        "VMHUB_OPS.runs",
        "VMHUB_OPS.send_pauses",
        "VMHUB_OPS.send_runs",
        "VMHUB_OPS.sync_runs",
        "VMHUB_OPS.sync_rejects",
        "VMHUB_OPS.webhook_events",
        "VMHUB_OPS.webhook_rejects",
        "VMHUB_OPS.webhook_runs",
    }
    assert f"table {NUMERIC_CNPJ}_RAW.clientes is missing" in report["raw_problems"]
    second = vmhub(*arguments, variables=environment.variables()).json()
    assert (second["is_new"], second["created_tables"]) == (False, [])


# Building


def _tables(services: Services) -> set[str]:
    rows = services.warehouse.query(
        f"select table_name from `{NUMERIC_CNPJ}_CAMPAIGN`.INFORMATION_SCHEMA.TABLES",
        doing="listing tables",
    )
    return {row["table_name"] for row in rows}


def test_a_build_without_its_source_tables_names_them_and_writes_nothing(
    services: Services, vmhub: Vmhub
) -> None:
    onboard(
        services.project,
        services.warehouse,
        services.registry,
        cnpj=NUMERIC_CNPJ,
        name="Lava Bem",
        audit=services.new_audit_log("test"),
    )
    before = _tables(services)
    ended = vmhub("build", *CNPJ_ARGUMENTS, variables=services.environment.variables())
    assert ended.code == ExitCode.CONFIGURATION
    message = ended.error()
    assert f"table {NUMERIC_CNPJ}_RAW.clientes is missing" in message
    assert f"table {NUMERIC_CNPJ}_RAW.vendas is missing" in message
    assert _tables(services) == before == {"message_history", "opt_outs"}


def test_a_build_with_a_column_missing_names_table_and_column_and_writes_nothing(
    services: Services, vmhub: Vmhub
) -> None:
    make_laundromat(services, NUMERIC_CNPJ)
    before = _tables(services)
    services.warehouse.query(
        f"create or replace table `{NUMERIC_CNPJ}_RAW`.`clientes` as "
        "select id, nome, dataNascimento, cpf, email, genero, dataCadastro, primeiraCompra, "
        f"1 as telefone, 2 as further from `{NUMERIC_CNPJ}_RAW`.`clientes`",
        doing="changing a column",
    )
    services.warehouse.query(
        f"create or replace table `{NUMERIC_CNPJ}_RAW`.`vendas` as "
        f"select * except (cupom) from `{NUMERIC_CNPJ}_RAW`.`vendas`",
        doing="dropping a column",
    )
    ended = vmhub("build", *CNPJ_ARGUMENTS, variables=services.environment.variables())
    assert ended.code == ExitCode.CONFIGURATION
    message = ended.error()
    assert f"column {NUMERIC_CNPJ}_RAW.vendas.cupom (STRING) is missing" in message
    assert f"column {NUMERIC_CNPJ}_RAW.clientes.telefone is INT64 instead of STRING" in message
    assert "further" not in message
    assert _tables(services) == before


# Syncing

SECRETS = ("Ana", "Exemplo", "90000", "52998224725", "Feliz")


def _publish(services: Services, *targets: Target) -> None:
    onboard(
        services.project,
        services.warehouse,
        services.registry,
        cnpj=NUMERIC_CNPJ,
        name="Lava Bem",
        audit=services.new_audit_log("test"),
    )
    publish(services.warehouse, NUMERIC_CNPJ, targets)


def _sync(vmhub: Vmhub, services: Services, *arguments: str) -> Ended:
    variables = services.environment.variables()
    return vmhub("sync", *CNPJ_ARGUMENTS, *AS_OF_ARGUMENTS, *arguments, variables=variables)


def _birthday(report: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(
        campaign for campaign in report["campaigns"] if campaign["campaign_type"] == "BIRTHDAY"
    )
    return found


def test_a_sync_prints_one_object_and_a_dry_one_writes_nothing(
    services: Services, vmhub: Vmhub
) -> None:
    _publish(services, make_target("a"), make_target("b"))
    dry = _sync(vmhub, services, "--dry-run", "--json")
    assert dry.code == ExitCode.OK
    assert documents(services.environment, NUMERIC_CNPJ) == {}
    real = _sync(vmhub, services, "--json")
    assert real.code == ExitCode.OK
    assert real.err == ""
    assert set(documents(services.environment, NUMERIC_CNPJ)) == {
        ("BIRTHDAY", "a"),
        ("BIRTHDAY", "b"),
    }
    report = real.json()
    assert report["cnpj"] == NUMERIC_CNPJ
    assert report["as_of"] == report["built_at"] == "2026-11-23T13:00:00Z"
    assert not report["is_dry_run"]
    assert _birthday(report) == {
        "campaign_type": "BIRTHDAY",
        "rows_read": 2,
        "outcomes": {"created": 2},
    }
    assert report["problems"] == []
    assert (report["documents_read"], report["writes_sent"]) == (0, 2)
    foretold = dry.json()
    assert foretold["is_dry_run"]
    assert foretold["writes_sent"] == 0
    assert foretold["campaigns"] == report["campaigns"]


def test_a_partly_failed_sync_says_so_and_names_nobody(services: Services, vmhub: Vmhub) -> None:
    rejected = make_target("b", phone="90000-0002", data={"cpf": "52998224725"})
    _publish(services, make_target("a"), rejected)
    ended = _sync(vmhub, services)
    assert ended.code == ExitCode.PARTLY_FAILED
    assert "rejected: BIRTHDAY b: the phone is not in E.164" in ended.out
    assert not any(secret in ended.out + ended.err for secret in SECRETS)


def test_a_sync_of_which_every_row_failed_has_failed(services: Services, vmhub: Vmhub) -> None:
    _publish(services, make_target("b", phone="90000-0002"))
    ended = _sync(vmhub, services, "--json")
    assert ended.code == ExitCode.FAILED
    assert _birthday(ended.json())["outcomes"]["rejected"] == 1
    assert not any(secret in ended.out + ended.err for secret in SECRETS)


def test_a_sync_with_many_problems_shows_the_first_and_says_how_many_more(
    services: Services, vmhub: Vmhub
) -> None:
    _publish(services, *(make_target(f"c{number:02}", phone="none") for number in range(33)))
    ended = _sync(vmhub, services)
    assert ended.out.count("rejected: BIRTHDAY") == 20
    assert "and 13 more; all are in VMHUB_OPS.sync_rejects" in ended.out


def test_a_careful_first_sync_writes_what_it_is_told_to(services: Services, vmhub: Vmhub) -> None:
    _publish(services, *(make_target(id_) for id_ in "abc"), make_target(campaign_type="LOYALTY"))
    careful = _sync(vmhub, services, "--campaign", "BIRTHDAY", "--limit", "2", "--json")
    assert careful.code == ExitCode.OK
    report = careful.json()
    assert [campaign["campaign_type"] for campaign in report["campaigns"]] == ["BIRTHDAY"]
    assert _birthday(report)["outcomes"] == {"created": 2, "deferred": 1}
    assert len(documents(services.environment, NUMERIC_CNPJ)) == 2
    wrong = _sync(vmhub, services, "--campaign", "birthday")
    assert wrong.code == ExitCode.CONFIGURATION
    assert "there are BIRTHDAY, LOYALTY, REACTIVATION, WELCOME" in wrong.error()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_sync_counts_what_it_wrote_and_the_next_one_completes_it(
    services: Services, vmhub: Vmhub, number: signal.Signals
) -> None:
    _publish(services, make_target())
    table = f"`{NUMERIC_CNPJ}_CAMPAIGN`.`campaign_targets`"
    services.warehouse.query(
        f"create or replace table {table} as select t.* replace (cast(n as string) as customer_id) "
        f"from {table} as t cross join unnest(generate_array(1, 1500)) as n",
        doing="multiplying rows",
    )
    # So slow that only the first requests go out before the signal.
    process = _start(
        *("sync", *CNPJ_ARGUMENTS, *AS_OF_ARGUMENTS, "--json", "--max-ops", "10"),
        variables=services.environment.variables(),
    )
    store = TargetStore(services.database, NUMERIC_CNPJ)
    while not store.read("BIRTHDAY", ["1"])["1"]:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    ended = _end(process)
    assert ended.code == 128 + number, ended.err
    outcomes = _birthday(ended.json())["outcomes"]
    assert outcomes["created"] + outcomes["deferred"] == 1500
    assert outcomes["created"] == len(documents(services.environment, NUMERIC_CNPJ))
    assert 500 <= outcomes["created"] <= 1000
    (run,) = services.warehouse.query("select * from VMHUB_OPS.sync_runs", doing="reading back")
    assert (run["exit_code"], run["counts"]["BIRTHDAY"]["rows"]) == (128 + number, 1500)
    completed = _sync(vmhub, services, "--json").json()
    assert _birthday(completed)["outcomes"] == {
        "created": outcomes["deferred"],
        "unchanged": outcomes["created"],
    }


def test_a_sync_of_stale_targets_fails_in_one_line_that_names_nobody(
    services: Services, vmhub: Vmhub
) -> None:
    _publish(services, make_target("a"))
    variables = services.environment.variables()
    three_hours_later = ("--as-of", "2026-11-23T13:00:00-03:00")
    ended = vmhub("sync", *CNPJ_ARGUMENTS, *three_hours_later, variables=variables)
    assert ended.code == ExitCode.FAILED
    message = ended.error()
    assert "is stale: last published as of 2026-11-23 13:00:00Z" in message
    assert not any(secret in message for secret in SECRETS)
    assert documents(services.environment, NUMERIC_CNPJ) == {}


# The local stack's commands


def test_the_status_of_no_stack_is_a_failure_that_can_be_asked_for(tmp_path: Path) -> None:
    asked = ["local", "status", "--state-dir", str(tmp_path)]
    text = CliRunner().invoke(app, asked)
    assert text.exit_code == ExitCode.FAILED
    assert text.stdout == f"no local stack runs from {tmp_path}\n"
    as_json = CliRunner().invoke(app, [*asked, "--json"])
    assert as_json.exit_code == ExitCode.FAILED
    assert json.loads(as_json.stdout) == {"running": False}


def test_the_variables_of_no_stack_are_refused_and_nothing_is_printed(
    tmp_path: Path, vmhub: Vmhub
) -> None:
    ended = vmhub("local", "env", "--state-dir", str(tmp_path), variables={})
    assert ended.code == ExitCode.CONFIGURATION
    assert "start one with `vmhub local up`" in ended.error()


def test_ending_no_stack_is_no_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["local", "down", "--state-dir", str(tmp_path)])
    assert result.exit_code == ExitCode.OK
    assert result.stdout == ""


def test_a_running_stack_prints_its_variables_for_a_shell_and_as_json(
    stack: LocalStack,
) -> None:
    asked = ["local", "env", "--state-dir", str(stack.state_dir)]
    lines = CliRunner().invoke(app, asked).stdout
    shell = subprocess.run(
        ["sh", "-c", f'{lines}\nprintf %s "$DBT_PROFILES_DIR"'],
        capture_output=True,
        text=True,
        check=True,
    )
    variables = stack.variables()
    assert shell.stdout == variables["DBT_PROFILES_DIR"]
    assert json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout) == variables
    status = CliRunner().invoke(app, ["local", "status", "--state-dir", str(stack.state_dir)])
    assert status.exit_code == ExitCode.OK
    assert f"firestore: {stack.firestore_host}" in status.stdout
