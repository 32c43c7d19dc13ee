"""The texts of the seed beside the templates of an account, for `check` and `templates check`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2

from loader.operations.check.checklist import Checklist, State
from loader.operations.check.sending import check_templates
from tests.support import NUMERIC_CNPJ
from tests.whatsapp.calls import BODY, TOKEN, WABA, creation
from tests.whatsapp.sending.connections import FakeTransport, MemoryChannel
from tests.whatsapp.sending.virtual_time import run_in_virtual_time
from tests.whatsapp.sending.world import CLASSES, World
from whatsapp.accounts import Account
from whatsapp.api import Api
from whatsapp.compare import ComparedTemplate, compare
from whatsapp.process import Connections, Seeds

if TYPE_CHECKING:
    from pathlib import Path

    from loader.base.cnpj import Cnpj
    from loader.operations.check.checklist import Check

_SEED = BODY.replace("{{", "{").replace("}}", "}")
_ACCOUNT = Account(str(NUMERIC_CNPJ), "5001", WABA, "1001", "TOKEN_A")


def compared(folder: Path, *names: str, **changes: Any) -> list[ComparedTemplate]:
    """Return how templates of one text stand that WhatsApp has with some changes."""
    rows = "".join(f'{name},pt_BR,"{_SEED}"\n' for name in names)
    (folder / "message_templates.csv").write_text(f"template_name,language,body\n{rows}")
    world = World()
    for waba_template in list(world.state.templates):
        del world.state.templates[waba_template]
    if "vmhub_test_v1" in names:
        world.state.create_template(WABA, creation(**changes))

    async def run() -> list[ComparedTemplate]:
        transport = FakeTransport(world.state, world.now)
        client = httpx2.AsyncClient(transport=transport, base_url="http://fake/v24.0")
        unused: Any = MemoryChannel(world.backend)
        found = Connections(unused, Api(client, CLASSES), unused)
        return await compare(found, _ACCOUNT, TOKEN, Seeds(folder))

    return run_in_virtual_time(run())


def checked(found: list[ComparedTemplate] | None) -> list[Check]:
    checklist = Checklist()

    def stands(_cnpj: Cnpj) -> list[ComparedTemplate] | None:
        return found

    check_templates(checklist, NUMERIC_CNPJ, stands, [])
    return checklist.checks


def test_a_template_as_the_seed_wants_it_has_no_difference_and_no_line(tmp_path: Path) -> None:
    found = compared(tmp_path, "vmhub_test_v1")
    assert [(text.name, text.differences, text.is_sendable) for text in found] == [
        ("vmhub_test_v1", (), True)
    ]
    (line,) = checked(found)
    assert (line.state, line.found) == (State.OK, "1 of 1 templates do not differ from the seed")


def test_what_is_missing_must_be_fixed_and_what_differs_a_little_is_a_warning(
    tmp_path: Path,
) -> None:
    found = compared(
        tmp_path,
        "vmhub_test_v1",
        "vmhub_other_v1",
        category="UTILITY",
        message_send_ttl_seconds=3600,
        components=creation()["components"][:1],
    )
    account, utility, missing = checked(found)
    assert account.found == "0 of 2 templates do not differ from the seed"
    assert (utility.about, utility.state) == ("vmhub_test_v1 pt_BR", State.WARNING)
    for part in ("category is UTILITY", "message_send_ttl_seconds is 3600", "no button"):
        assert part in utility.found
    assert (missing.about, missing.state) == ("vmhub_other_v1 pt_BR", State.FIX)
    assert missing.found == "WhatsApp does not have it"
    assert "vmhub templates push" in missing.fix


def test_another_language_and_another_text_cannot_be_sent(tmp_path: Path) -> None:
    (found,) = compared(tmp_path, "vmhub_test_v1", language="en_US")
    assert (found.differences, found.is_sendable) == (("WhatsApp does not have it",), False)
    components = creation()["components"]
    components[0]["text"] = BODY.replace("Oi", "Olá")
    (found,) = compared(tmp_path, "vmhub_test_v1", components=components)
    assert found.differences == ("WhatsApp's text differs from the seed's",)
    assert not found.is_sendable


def test_who_sends_otherwise_is_asked_for_no_template() -> None:
    (line,) = checked(None)
    assert (line.state, line.found) == (State.OK, "`vmhub send` does not send for it")
