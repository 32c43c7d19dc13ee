"""Which services the environment variables select."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from loader.base.environment import Environment
from loader.base.errors import ConfigurationError, ExitCode

LOCAL = {
    "GOOGLE_CLOUD_PROJECT": "test-project",
    "FIRESTORE_EMULATOR_HOST": "127.0.0.1:8080",
    "BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:9050",
    "BIGQUERY_STORAGE_EMULATOR_HOST": "127.0.0.1:9060",
}
REAL = {"GOOGLE_CLOUD_PROJECT": "test-project"}
EMULATORS = tuple(name for name in LOCAL if name.endswith("EMULATOR_HOST"))


def test_a_project_alone_means_the_real_services() -> None:
    environment = Environment.from_variables(REAL)
    assert environment == Environment(
        project="test-project", location="southamerica-east1", dbt_target="prod"
    )
    assert not environment.is_local


def test_all_three_emulators_mean_the_local_stack() -> None:
    environment = Environment.from_variables(LOCAL)
    assert environment == Environment(
        project="test-project",
        firestore_host="127.0.0.1:8080",
        bigquery_url="http://127.0.0.1:9050",
        bigquery_storage_host="127.0.0.1:9060",
        location="US",
        dbt_target="local",
    )
    assert environment.is_local


@pytest.mark.parametrize("project", [None, ""])
def test_no_project_is_refused_with_both_ways_to_fix_it(project: str | None) -> None:
    variables = {name: value for name, value in LOCAL.items() if name in EMULATORS}
    if project is not None:
        variables["GOOGLE_CLOUD_PROJECT"] = project
    with pytest.raises(ConfigurationError, match="GOOGLE_CLOUD_PROJECT") as refused:
        Environment.from_variables(variables)
    assert "vmhub local env" in refused.value.hint
    assert refused.value.exit_code == ExitCode.CONFIGURATION


@pytest.mark.parametrize(
    "is_set", [chosen for chosen in product((True, False), repeat=3) if len(set(chosen)) > 1]
)
@pytest.mark.parametrize("unset", [None, ""])
def test_half_a_local_stack_is_refused(is_set: tuple[bool, ...], unset: str | None) -> None:
    variables = dict(LOCAL)
    for name, keep in zip(EMULATORS, is_set, strict=True):
        if not keep:
            del variables[name]
            if unset is not None:
                variables[name] = unset
    with pytest.raises(ConfigurationError, match="must be set together"):
        Environment.from_variables(variables)


@pytest.mark.parametrize("target", ["dev", "prod"])
def test_a_real_target_goes_with_real_services_only(target: str) -> None:
    assert Environment.from_variables({**REAL, "DBT_TARGET": target}).dbt_target == target
    with pytest.raises(ConfigurationError, match=f"DBT_TARGET={target}"):
        Environment.from_variables({**LOCAL, "DBT_TARGET": target})


def test_the_local_target_goes_with_the_emulators_only() -> None:
    assert Environment.from_variables({**LOCAL, "DBT_TARGET": "local"}).dbt_target == "local"
    with pytest.raises(ConfigurationError, match="DBT_TARGET=local"):
        Environment.from_variables({**REAL, "DBT_TARGET": "local"})


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="DBT_TARGET=production"):
        Environment.from_variables({**REAL, "DBT_TARGET": "production"})


@pytest.mark.parametrize("services", [REAL, LOCAL], ids=["real", "local"])
@pytest.mark.parametrize("name", ["DBT_TARGET", "DBT_PROFILES_DIR", "VMHUB_BIGQUERY_LOCATION"])
def test_an_empty_variable_counts_as_unset(name: str, services: dict[str, str]) -> None:
    assert Environment.from_variables({**services, name: ""}) == Environment.from_variables(
        services
    )


def test_the_process_environment_is_read_when_nothing_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in EMULATORS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "from-the-shell")
    assert Environment.from_variables().project == "from-the-shell"


@pytest.mark.parametrize(
    "environment",
    [
        Environment(project="test-project", dbt_target="prod"),
        Environment(project="test-project", dbt_target="dev", location="EU"),
        Environment(
            project="test-project",
            firestore_host="127.0.0.1:8080",
            bigquery_url="http://127.0.0.1:9050",
            bigquery_storage_host="127.0.0.1:9060",
            location="US",
            profiles_dir=Path("a folder") / "profiles",
            dbt_target="local",
        ),
    ],
    ids=["prod", "dev", "local"],
)
def test_another_process_finds_the_same_services_by_the_variables(environment: Environment) -> None:
    assert Environment.from_variables(environment.variables()) == environment


KEY = "projects/p/locations/southamerica-east1/keyRings/r/cryptoKeys/k"


def test_a_key_of_cloud_kms_is_passed_on() -> None:
    environment = Environment.from_variables({**REAL, "VMHUB_KMS_KEY": KEY})
    assert environment.kms_key == KEY
    assert Environment.from_variables(environment.variables()) == environment


@pytest.mark.parametrize("key", ["my-key", f"{KEY}/cryptoKeyVersions/1", KEY.replace("r", " ")])
def test_what_is_no_name_of_a_key_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError, match="VMHUB_KMS_KEY") as refused:
        Environment.from_variables({**REAL, "VMHUB_KMS_KEY": key})
    assert "cryptoKeys" in refused.value.hint
