"""Routes below /_fake/: tests and the demo set the fake up and query it from other processes.

A body that cannot be read, or that names something unknown, is answered with 422 and the reason.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from whatsapp.fake.clock import Clock
from whatsapp.fake.config import Accounts, FaultRule, Recipient, Settings
from whatsapp.fake.events import webhook_event
from whatsapp.fake.phones import same_person
from whatsapp.fake.state import FakeState
from whatsapp.fake.telling import happen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

__all__ = ["routes"]

_UNPROCESSABLE = 422
_NO_CONTENT = 204


class _ClockSetting(BaseModel):
    model_config = ConfigDict(extra="forbid")

    at: AwareDatetime | None = None
    runs_from: AwareDatetime | None = None
    """The clock runs on from this instant."""
    advance_seconds: Annotated[float, Field(ge=0)] = 0


class _Reset(BaseModel):
    model_config = ConfigDict(extra="forbid")

    at: AwareDatetime | None = None
    """Where the clock stands still; None: it runs."""
    seed: int = 0


def routes() -> list[Route]:
    """Return the routes; the state of the fake is ``app.state.fake``."""
    return [
        Route("/_fake/reset", _control(_reset), methods=["POST"]),
        Route("/_fake/accounts", _control(_accounts), methods=["POST"]),
        Route("/_fake/recipients", _control(_recipients), methods=["POST"]),
        Route("/_fake/settings", _control(_settings), methods=["PUT"]),
        Route("/_fake/rules", _control(_add_rule), methods=["POST"]),
        Route("/_fake/rules", _control(_clear_rules), methods=["DELETE"]),
        Route("/_fake/clock", _control(_read_clock), methods=["GET"]),
        Route("/_fake/clock", _control(_set_clock), methods=["POST"]),
        Route("/_fake/ledger", _control(_ledger), methods=["GET"]),
        Route("/_fake/calls", _control(_calls), methods=["GET"]),
        Route("/_fake/events", _control(_event), methods=["POST"]),
        Route("/_fake/webhooks", _control(_webhooks), methods=["GET"]),
        Route("/_fake/webhooks/deliver", _control(_deliver), methods=["POST"]),
    ]


def _control(
    handler: Callable[[Request, FakeState], Awaitable[Any]],
) -> Callable[[Request], Awaitable[Response]]:
    """Answer with what the handler returns, as JSON; 204 for nothing."""

    async def answer(request: Request) -> Response:
        try:
            result = await handler(request, request.app.state.fake)
        except ValidationError as error:
            reasons = error.errors(include_url=False, include_context=False)
            return JSONResponse({"error": reasons}, status_code=_UNPROCESSABLE)
        except KeyError as error:
            reason = f"{error.args[0]} is not there"
            return JSONResponse({"error": reason}, status_code=_UNPROCESSABLE)
        return Response(status_code=_NO_CONTENT) if result is None else JSONResponse(result)

    return answer


async def _reset(request: Request, _: FakeState) -> None:
    """Begin anew, with no account and nothing sent."""
    wanted = _Reset.model_validate_json(await request.body())
    request.app.state.fake = FakeState(clock=Clock(wanted.at), seed=wanted.seed)


async def _accounts(request: Request, state: FakeState) -> None:
    state.add_accounts(Accounts.model_validate_json(await request.body()))


async def _recipients(request: Request, state: FakeState) -> None:
    state.set_recipient(Recipient.model_validate_json(await request.body()))


async def _settings(request: Request, state: FakeState) -> None:
    state.settings = Settings.model_validate_json(await request.body())


async def _add_rule(request: Request, state: FakeState) -> None:
    state.faults.add(FaultRule.model_validate_json(await request.body()))


async def _clear_rules(_: Request, state: FakeState) -> None:
    state.faults.clear()


async def _read_clock(_: Request, state: FakeState) -> dict[str, str]:
    return {"now": state.clock.now().isoformat()}


async def _set_clock(request: Request, state: FakeState) -> dict[str, str]:
    wanted = _ClockSetting.model_validate_json(await request.body())
    if wanted.at is not None:
        state.clock.set(wanted.at)
    if wanted.runs_from is not None:
        state.clock.run_from(wanted.runs_from)
    state.clock.advance(timedelta(seconds=wanted.advance_seconds))
    return {"now": state.clock.now().isoformat()}


async def _ledger(request: Request, state: FakeState) -> dict[str, Any]:
    """Return the accepted messages, all or those of ``to``, ``cnpj`` or ``attempt_id``."""
    query = request.query_params
    rows = [
        row
        for row in (message.as_json() for message in state.ledger.messages)
        if ("to" not in query or same_person(row["to"]) == same_person(query["to"]))
        and query.get("cnpj", row["cnpj"]) == row["cnpj"]
        and query.get("attempt_id", row["attempt_id"]) == row["attempt_id"]
    ]
    return {"messages": rows}


async def _calls(_: Request, state: FakeState) -> dict[str, Any]:
    return {"calls": [call.as_json() for call in state.ledger.calls]}


async def _event(request: Request, state: FakeState) -> None:
    happen(state, webhook_event.validate_json(await request.body()))


async def _webhooks(_: Request, state: FakeState) -> dict[str, Any]:
    deliveries = [delivery.as_json() for delivery in state.webhooks.deliveries]
    return {"waiting": state.webhooks.waiting, "deliveries": deliveries}


async def _deliver(request: Request, state: FakeState) -> dict[str, Any]:
    """Post everything that is due, and return the answer to each POST."""
    made = await state.webhooks.deliver_due(
        request.app.state.webhook_client, state.settings.webhooks
    )
    return {"deliveries": [delivery.as_json() for delivery in made]}
