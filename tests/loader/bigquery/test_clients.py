"""Each laundromat's datasets are read and written with the credentials for them."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import google.auth
import pytest
from dbt.adapters.bigquery.connections import BigQueryConnectionManager
from dbt.adapters.bigquery.credentials import BigQueryCredentials, create_google_credentials
from google.auth.credentials import AnonymousCredentials

from loader.base.environment import Environment
from loader.base.errors import ConfigurationError
from loader.bigquery.declaration import OPS_DATASET
from loader.bigquery.warehouse import Warehouse
from loader.bigquery.warehouse_probe import WarehouseProbe
from loader.dbt.project import find_project
from loader.dbt.runner import Dbt
from loader.dbt.spec import BuildSpec
from loader.operations.check.checklist import Checklist
from loader.operations.check.tables import TableChecks
from tests.support import ALPHANUMERIC_CNPJ, AS_OF, NUMERIC_CNPJ

if TYPE_CHECKING:
    from pathlib import Path

    from loader.dbt.runner import ParsedProject

ACCOUNT = "vmhub-{cnpj}@my-project.iam.gserviceaccount.com"
REAL = {"GOOGLE_CLOUD_PROJECT": "my-project", "VMHUB_IMPERSONATE": ACCOUNT}


@pytest.fixture(autouse=True)
def own_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    def default(**_: Any) -> tuple[Any, str]:
        return AnonymousCredentials(), "my-project"  # type: ignore[no-untyped-call]

    monkeypatch.setattr(google.auth, "default", default)
    monkeypatch.setattr("dbt.adapters.bigquery.credentials.default", default)


def principals(warehouse: Warehouse) -> set[str | None]:
    """Return as whom the clients of REST and of Storage Read act."""
    inner: dict[str, Any] = vars(warehouse)
    used = (inner["_client"]._credentials, inner["_reader"].transport._credentials)  # noqa: SLF001
    return {getattr(credentials, "_target_principal", None) for credentials in used}


def test_each_laundromat_has_its_own_account_and_the_rest_the_process_own() -> None:
    warehouse = Warehouse(Environment.from_variables(REAL))
    assert principals(warehouse) == {None}
    assert principals(warehouse.acting_for(ALPHANUMERIC_CNPJ)) == {
        "vmhub-12abc34501de35@my-project.iam.gserviceaccount.com"
    }
    assert principals(warehouse.acting_for(NUMERIC_CNPJ)) == {
        "vmhub-11222333000181@my-project.iam.gserviceaccount.com"
    }
    assert warehouse.acting_for(NUMERIC_CNPJ) is warehouse.acting_for(NUMERIC_CNPJ)


def test_a_group_can_share_an_account_and_without_one_all_is_as_before() -> None:
    group = {**REAL, "VMHUB_IMPERSONATE": "vmhub-south@my-project.iam.gserviceaccount.com"}
    shared = Warehouse(Environment.from_variables(group))
    assert shared.acting_for(NUMERIC_CNPJ) is shared.acting_for(ALPHANUMERIC_CNPJ)
    own = Warehouse(Environment.from_variables({"GOOGLE_CLOUD_PROJECT": "my-project"}))
    assert own.acting_for(NUMERIC_CNPJ) is own


def test_check_looks_at_each_dataset_as_the_hour_does(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: dict[str, set[str | None]] = {}

    def location(probe: WarehouseProbe, dataset: str) -> str:
        looked[dataset] = principals(probe)
        return "US"

    monkeypatch.setattr(WarehouseProbe, "location", location)
    probe = WarehouseProbe(Environment.from_variables(REAL))
    own = probe.acting_for(NUMERIC_CNPJ)
    assert isinstance(own, WarehouseProbe)
    TableChecks(Checklist(), own, probe, NUMERIC_CNPJ, "US", AS_OF).datasets()
    account = {"vmhub-11222333000181@my-project.iam.gserviceaccount.com"}
    assert looked == {
        f"{NUMERIC_CNPJ}_RAW": account,
        f"{NUMERIC_CNPJ}_CAMPAIGN": account,
        OPS_DATASET: {None},
    }


def test_the_workers_of_a_run_have_the_same_accounts() -> None:
    environment = Environment.from_variables(REAL)
    assert Environment.from_variables(environment.variables()) == environment


@pytest.mark.parametrize("account", ["vmhub", "{{ env_var('X') }}@p.iam.gserviceaccount.com"])
def test_what_is_no_account_is_refused(account: str) -> None:
    with pytest.raises(ConfigurationError, match="no service account"):
        Environment.from_variables({**REAL, "VMHUB_IMPERSONATE": account})


def test_dbt_acts_as_the_laundromats_account(
    parsed: ParsedProject,
    environment: Environment,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    used: list[Any] = []

    class StopError(Exception):
        """Nothing is to be sent."""

    def open_(connection: Any) -> None:
        used.append(connection.credentials)
        raise StopError

    monkeypatch.setattr(BigQueryConnectionManager, "open", staticmethod(open_))
    (tmp_path / "profiles.yml").write_text(
        (find_project().root / "profiles.yml.example").read_text(encoding="utf-8")
    )
    variables = {**REAL, "DBT_PROFILES_DIR": str(tmp_path), "DBT_TARGET": "prod"}
    parsed.manifest(environment)
    dbt = Dbt(parsed, Environment.from_variables(variables), tmp_path)
    for cnpj in (ALPHANUMERIC_CNPJ, NUMERIC_CNPJ):
        with pytest.raises(Exception, match=r".*"):
            dbt.run(BuildSpec({"cnpj": cnpj}, AS_OF), ["run", "--select", "customer_facts"])
    assert all(isinstance(credentials, BigQueryCredentials) for credentials in used)
    acting = [create_google_credentials(credentials) for credentials in used]
    assert list(dict.fromkeys(vars(one)["_target_principal"] for one in acting)) == [
        "vmhub-12abc34501de35@my-project.iam.gserviceaccount.com",
        "vmhub-11222333000181@my-project.iam.gserviceaccount.com",
    ]


def test_a_worker_and_arrow_do_without_pandas_although_it_is_installed() -> None:
    assert version("pandas")
    # Arrow looks for pandas when it turns instants into Python's.
    code = (
        "import sys, datetime, loader.fleet.worker, dbt.adapters.bigquery, pyarrow as pa\n"
        "now = datetime.datetime(2026, 11, 23, tzinfo=datetime.timezone.utc)\n"
        "column = pa.array([now], pa.timestamp('us', 'UTC'))\n"
        "assert column.to_pylist() == [now]\n"
        "assert column.cast(pa.timestamp('ns', 'UTC')).cast(pa.timestamp('us', 'UTC')) == column\n"
        "print('pandas' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert ended.stdout == "False\n"
