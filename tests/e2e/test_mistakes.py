"""What an analyst got wrong is shown where it is; what the fleet keeps quotes no row."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from loader.base.errors import VmhubError
from loader.dbt.build import BuildError, build
from loader.dbt.complaint import Complaint
from loader.dbt.runner import Dbt, ParsedProject
from loader.dbt.spec import BuildSpec
from loader.services import Services
from tests.cases.rows import born_today
from tests.fleet import note_deployed
from tests.mistakes import Mistake, place_of, planted
from tests.mistakes.in_macros import IN_JINJA, IN_MACROS, IN_UPDATES
from tests.mistakes.in_models import IN_EXPLANATIONS, IN_MODELS, IN_PARSING, IN_TESTS
from tests.support import ALPHANUMERIC_CNPJ, AS_OF, SCRIPTS, copy_project, make_laundromat

if TYPE_CHECKING:
    from pathlib import Path

    from loader.base.environment import Environment
    from loader.dbt.project import Project
    from loader.local.stack import LocalStack
    from tests.googlesql import Analysis

CNPJ = ALPHANUMERIC_CNPJ

# Reached only by settings that are wrong, or that say what no laundromat says by default.
_UNREACHED = {"is_national_holiday", "shown", "type_in_words"}
# They return no more than a constant, or a name that is checked before it is sent.
_TRIVIAL = {"person_key", "pseudonym_prefix", "voucher_key"}

_ALL = (
    *(*IN_MODELS, *IN_MACROS, *IN_JINJA, *IN_UPDATES),
    *(*IN_TESTS, *IN_EXPLANATIONS, *IN_PARSING),
)


def name_of(mistake: Mistake) -> str:
    return f"{mistake.file}-{mistake.wrong}"


@pytest.fixture(scope="module")
def services(
    project: Project,
    stack: LocalStack,
    parsed: ParsedProject,
    tmp_path_factory: pytest.TempPathFactory,
) -> Services:
    """A laundromat whose tables are there, without the tests."""
    environment = replace(stack.environment(), project="mistakes")
    services = Services(project, environment, tmp_path_factory.mktemp("state"), parsed)
    make_laundromat(services, CNPJ, clientes=[born_today("a", nome="Ana Exemplo")])
    build(
        services.dbt,
        project,
        services.warehouse,
        BuildSpec(services.laundromat(CNPJ).settings, AS_OF),
        arguments=["--exclude-resource-type", "test"],
    )
    return services


def failure(services: Services, mistake: Mistake) -> VmhubError:
    """Build what runs into a mistake and return the error."""
    assert services.parsed is not None
    manifest = services.parsed.manifest(services.environment)
    macro = f"macro.vmhub_campaigns.{mistake.run}"
    names = [
        node.name
        for node in manifest.nodes.values()
        if node.name == mistake.run or macro in node.depends_on.macros
    ]
    spec = BuildSpec(services.laundromat(CNPJ).settings, AS_OF)
    arguments = ["--select", names[0], "--indirect-selection", "empty"]
    with planted(manifest, mistake), pytest.raises(VmhubError) as caught:
        build(services.dbt, services.project, services.warehouse, spec, arguments=arguments)
    return caught.value


@pytest.mark.parametrize(
    "mistake",
    [
        *(*IN_MODELS, *IN_JINJA, *IN_UPDATES, *IN_TESTS),
        # The emulator takes seconds for the largest statement. GoogleSQL, below, has all of them.
        *(
            pytest.param(mistake, marks=[pytest.mark.large] if is_large else [])
            for mistake in IN_MACROS
            for is_large in [mistake.run == "campaign_decisions"]
        ),
    ],
    ids=name_of,
)
def test_a_mistake_is_shown_with_its_file_its_line_and_the_reason(
    services: Services, mistake: Mistake
) -> None:
    error = failure(services, mistake)
    shown = error.in_full if isinstance(error, BuildError) else str(error)
    assert re.search(rf"{re.escape(place_of(services.project, mistake))}\b", shown), shown
    assert mistake.reason in shown


@pytest.mark.parametrize(
    "mistake",
    [
        *(mistake for mistake in IN_MODELS if mistake.run != "target_publication"),
        *IN_MACROS,
        *IN_EXPLANATIONS,
    ],
    ids=name_of,
)
def test_a_position_of_bigquery_leads_to_the_file(
    parsed: ParsedProject,
    stack: LocalStack,
    analysis: Analysis,
    tmp_path: Path,
    mistake: Mistake,
) -> None:
    """BigQuery counts from the comment that dbt puts before a statement."""
    environment = stack.environment()
    dbt = Dbt(parsed, environment, tmp_path)
    inlined = ["--inline", f"select * from {{{{ ref('{mistake.run}') }}}}"]
    what = (
        inlined
        if mistake in IN_EXPLANATIONS
        else ["--select", mistake.run, "--indirect-selection", "empty"]
    )
    with planted(parsed.manifest(environment), mistake):
        results = dbt.run(BuildSpec({"cnpj": CNPJ}, AS_OF), ["compile", *what])
        sources = dbt.sources()
    [node] = [item.node for item in results if item.node.resource_type != "operation"]
    begins = '/* {"app": "vmhub"} */\n\n\n    create or replace table `p`.`d`.`t`\n    as (\n'
    statement = f"{begins}      {node.compiled_code}\n    );"
    with pytest.raises(Exception, match=r"at \d+:\d+") as caught:
        analysis.google_sql.analyze(statement)
    complaint = Complaint.of(f"Database Error in model x (models/x.sql)\n  {caught.value}")
    assert complaint.positions
    place = sources.find(complaint, node, statement)
    assert f"{place},".startswith(f"{place_of(parsed.project, mistake)},")
    if mistake in IN_MACROS:
        return
    # Without the name, by the position alone.
    place = sources.find(replace(complaint, names=()), node, statement)
    assert f"{place},".startswith(f"{place_of(parsed.project, mistake)},")


@pytest.mark.parametrize(
    "mistake",
    [
        *IN_PARSING,
        Mistake(
            "models/campaigns/loyalty.sql",
            "ref('customer_facts')",
            "ref('customer_fact')",
            "",
            "'customer_fact' which was not found",
        ),
        Mistake(
            "models/campaigns/welcome.sql", "{{ today() }} as", "{{ today( }} as", "", "unexpected"
        ),
    ],
    ids=name_of,
)
def test_a_mistake_that_dbt_cannot_parse_is_shown_alike(
    project: Project, environment: Environment, tmp_path: Path, mistake: Mistake
) -> None:
    copy = copy_project(project, tmp_path / "project")
    write(copy, mistake)
    with pytest.raises(VmhubError) as caught:
        ParsedProject(copy, tmp_path / "parse").manifest(environment)
    assert re.search(rf"{re.escape(place_of(project, mistake))}\b", str(caught.value)), caught.value
    assert mistake.reason in str(caught.value)


def write(copy: Project, mistake: Mistake) -> None:
    path = copy.root / mistake.file
    text = path.read_text(encoding="utf-8")
    assert mistake.right in text
    path.write_text(text.replace(mistake.right, mistake.wrong, 1), encoding="utf-8")


def test_what_a_cast_quotes_reaches_a_persons_terminal_and_nothing_that_the_fleet_keeps(
    services: Services, tmp_path: Path
) -> None:
    copy = copy_project(services.project, tmp_path / "project")
    write(
        copy,
        Mistake(
            "models/staging/stg_customers.sql",
            "        name,\n",
            "        cast(cast(name as float64) as string) as name,\n",
            "",
            "",
        ),
    )

    note_deployed(services, CNPJ)
    fleet = vmhub(services, copy, "run", "--cnpj", CNPJ, "--as-of", AS_OF.isoformat())
    assert fleet.returncode == 1, fleet.stderr
    assert "left out" in fleet.stderr
    assert "Exemplo" not in fleet.stdout + fleet.stderr
    assert not list(copy.root.rglob("dbt.log"))

    build = ("build", "--cnpj", CNPJ, "--selector", "hourly")
    collected = vmhub(services, copy, "--log-format", "json", *build)
    assert collected.returncode == 1
    assert "left out" in collected.stderr
    assert "Exemplo" not in collected.stdout + collected.stderr

    person = vmhub(services, copy, *build, "--as-of", AS_OF.isoformat())
    assert person.returncode == 1
    assert "Ana Exemplo" in person.stderr
    [log] = copy.root.rglob("dbt.log")
    assert "Ana Exemplo" in log.read_text(encoding="utf-8")
    assert str(log) in person.stderr

    runs = services.warehouse.query(
        "select to_json_string(run) as text from VMHUB_OPS.runs as run where exit_code != 0",
        doing="reading the runs",
    )
    assert len(runs) == 3
    for run in runs:
        assert "left out" in run["text"]
        assert "Exemplo" not in run["text"]


def vmhub(
    services: Services, project: Project, *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPTS / "vmhub", *arguments],
        cwd=project.root,
        env={
            **os.environ,
            **services.environment.variables(),
            "DBT_PROJECT_DIR": str(project.root),
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_model_and_macro_has_its_mistake(
    project: Project, parsed: ParsedProject, environment: Environment
) -> None:
    manifest = parsed.manifest(environment)
    own = [
        *(node for node in manifest.nodes.values() if node.resource_type == "model"),
        *(macro for macro in manifest.macros.values() if macro.package_name == "vmhub_campaigns"),
    ]
    found = set()
    for mistake in _ALL:
        with planted(manifest, mistake) as unit:
            found.add(unit.name)
    # A new campaign needs no change here.
    due = [item for item in own if not item.original_file_path.startswith("models/campaigns/")]
    assert {item.name for item in due} - found == _UNREACHED | _TRIVIAL
