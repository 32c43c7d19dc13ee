"""The routes of the real API: sending, templates, and reading numbers and accounts."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from whatsapp.fake.errors import ApiError
from whatsapp.fake.sending import send

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from whatsapp.fake.connections import FakeConnections
    from whatsapp.fake.requests import Endpoint
    from whatsapp.fake.state import FakeState

__all__ = ["routes"]

_PAGE = 25
_BAD_GATEWAY = (
    "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
)


def routes() -> list[Route]:
    """Return the routes; the state of the fake is ``app.state.fake``."""
    return [
        Route("/{version}/{node_id}/messages", _answered(_send), methods=["POST"]),
        Route("/{version}/{node_id}/marketing_messages", _answered(_send), methods=["POST"]),
        Route("/{version}/{node_id}/message_templates", _answered(_list), methods=["GET"]),
        Route("/{version}/{node_id}/message_templates", _answered(_create), methods=["POST"]),
        Route("/{version}/{node_id}", _answered(_read), methods=["GET"]),
    ]


def _answered(
    handler: Callable[[Request, FakeState], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Answer a refusal as the API does."""

    async def answer(request: Request) -> Response:
        state: FakeState = request.app.state.fake
        try:
            return await handler(request, state)
        except ApiError as error:
            trace_id = state.new_id(prefix="A")
            return JSONResponse(error.body(trace_id), status_code=error.status)

    return answer


async def _send(request: Request, state: FakeState) -> Response:
    body = await _json(request)
    endpoint = cast("Endpoint", request.url.path.rsplit("/", 1)[1])
    authorization = request.headers.get("Authorization")
    # As at WhatsApp, the message is accepted here; a slow answer comes later.
    try:
        answer = send(state, request.path_params["node_id"], endpoint, authorization, body)
    finally:
        await asyncio.sleep(state.settings.latency_seconds)
    whole = JSONResponse(answer.body)
    connections: FakeConnections = request.app.state.connections
    match answer.fault:
        case "gateway_error" | "accept_and_gateway_error":
            return Response(_BAD_GATEWAY, status_code=502, media_type="text/html")
        case "reset_unread" | "accept_and_reset":
            await connections.reset(request)
        case "truncated":
            await connections.truncate(request, bytes(whole.body))
        case "accept_and_hang":
            while (await request.receive())["type"] != "http.disconnect":
                pass
    return whole


async def _list(request: Request, state: FakeState) -> Response:
    """List templates, in pages (WA/reference/whatsapp-business-account/template-api)."""
    waba_id = _waba(request, state)
    query = request.query_params
    found = [
        template.listed()
        for template in state.templates.values()
        if template.waba_id == waba_id
        and query.get("name", template.name) == template.name
        and query.get("language", template.language) == template.language
        and query.get("status", template.status) == template.status
    ]
    limit = _number(query.get("limit"), _PAGE)
    start = _number(query.get("after"), 0)
    page = found[start : start + limit]
    fields = {name for name in query.get("fields", "").split(",") if name} | {"id"}
    if len(fields) > 1:
        page = [{key: row[key] for key in row if key in fields} for row in page]
    paging: dict[str, Any] = {"cursors": {"before": str(start), "after": str(start + len(page))}}
    if start + limit < len(found):
        paging["next"] = str(request.url.include_query_params(after=start + limit))
    return JSONResponse({"data": page, "paging": paging})


async def _create(request: Request, state: FakeState) -> Response:
    made = state.create_template(_waba(request, state), await _json(request))
    return JSONResponse({"id": made.id, "status": made.status, "category": made.category})


async def _read(request: Request, state: FakeState) -> Response:
    """Read the fields of a number, an account or a template that are asked for."""
    node_id = request.path_params["node_id"]
    if node_id in state.numbers:
        waba_id = state.numbers[node_id].waba_id
    elif node_id in state.templates:
        waba_id = state.templates[node_id].waba_id
    else:
        waba_id = node_id
    state.authorize(request.headers.get("Authorization"), waba_id)
    if waba_id not in state.wabas:
        raise ApiError(33, f"Object with ID '{node_id}' does not exist")
    known = _fields(state, node_id, waba_id)
    asked = [name for name in request.query_params.get("fields", "").split(",") if name]
    unknown = sorted(set(asked) - known.keys())
    if unknown:
        raise ApiError(100, f"Tried accessing nonexisting field ({unknown[0]})")
    return JSONResponse({name: known[name] for name in asked} | {"id": node_id})


def _fields(state: FakeState, node_id: str, waba_id: str) -> dict[str, Any]:
    health = _health(state, node_id, waba_id)
    if node_id in state.numbers:
        number = state.numbers[node_id]
        return {
            "id": node_id,
            "display_phone_number": number.display_phone_number,
            "quality_rating": number.quality_rating,
            "throughput": {"level": "STANDARD"},
            "whatsapp_business_manager_messaging_limit": _tier(
                state.portfolio_of(waba_id).people_in_24_hours
            ),
            "health_status": health,
        }
    if node_id in state.templates:
        return state.templates[node_id].listed() | {"health_status": health}
    return {"id": node_id, "health_status": health}


def _tier(people: int | None) -> str:
    """Return a limit as WhatsApp writes it: ``TIER_250``, ``TIER_2K``."""
    if people is None:
        return "TIER_UNLIMITED"
    return f"TIER_{people // 1_000}K" if people % 1_000 == 0 else f"TIER_{people}"


def _health(state: FakeState, node_id: str, waba_id: str) -> dict[str, Any]:
    """Return who can send (WA/support/health-status)."""
    entities: list[dict[str, Any]] = []
    if node_id in state.numbers:
        code = state.numbers[node_id].blocked_by
        entity: dict[str, Any] = {
            "entity_type": "PHONE_NUMBER",
            "id": node_id,
            "can_send_message": "AVAILABLE" if code is None else "BLOCKED",
        }
        if code is not None:
            details = ApiError(code).details
            entity["errors"] = [
                {
                    "error_code": code,
                    "error_description": details,
                    "possible_solution": details,
                }
            ]
        entities.append(entity)
    if node_id in state.templates:
        is_approved = state.templates[node_id].status == "APPROVED"
        entities.append(
            {
                "entity_type": "MESSAGE_TEMPLATE",
                "id": node_id,
                "can_send_message": "AVAILABLE" if is_approved else "BLOCKED",
            }
        )
    entities += [
        {"entity_type": kind, "id": known_id, "can_send_message": "AVAILABLE"}
        for kind, known_id in (
            ("WABA", waba_id),
            ("BUSINESS", state.portfolio_of(waba_id).id),
            ("APP", "1"),
        )
    ]
    blocked = any(entity["can_send_message"] == "BLOCKED" for entity in entities)
    return {"can_send_message": "BLOCKED" if blocked else "AVAILABLE", "entities": entities}


def _waba(request: Request, state: FakeState) -> str:
    waba_id: str = request.path_params["node_id"]
    state.authorize(request.headers.get("Authorization"), waba_id)
    if waba_id not in state.wabas:
        raise ApiError(33, f"Object with ID '{waba_id}' does not exist")
    return waba_id


def _number(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isdecimal():
        raise ApiError(100, f"{text!r} is not a number")
    return int(text)


async def _json(request: Request) -> object:
    try:
        return json.loads(await request.body())
    except ValueError as error:
        raise ApiError(100, "The request is not valid JSON") from error
