"""WhatsApp's Cloud API as the sender uses it: sending, templates, and a number's limits.

The HTTP library never repeats a call that sends: a repeated call is a second message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal
from urllib.request import getproxies

import httpx2
import orjson

from loader.base.errors import ServiceError
from whatsapp.outcomes import NotSent, Refused, Unknown, read_answer
from whatsapp.pools import SpreadTransport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from whatsapp.error_classes import ErrorClasses
    from whatsapp.outcomes import Answer
    from whatsapp.targets import Template

__all__ = ["API_URL", "Api", "Endpoint", "endpoint_of", "message_body", "new_client"]

API_URL = "https://graph.facebook.com"
_VERSION = "v24.0"
_TIMEOUT_SECONDS = 30.0
# Shorter than any server's own limit: a request on a connection that the server is just closing
# would have an unknown outcome.
_KEEPALIVE_SECONDS = 4.0
# Connections of one pool.
_POOL_SIZE = 8
_CALLBACK_DATA = "biz_opaque_callback_data"
_INVALID_PARAMETER = 100
_OK = 200
_TEMPLATE_FIELDS = (
    "name,language,status,category,parameter_format,components,message_send_ttl_seconds"
)

Endpoint = Literal["messages", "marketing_messages"]


def endpoint_of(category: str) -> Endpoint:
    """Return the endpoint for templates of a category."""
    return "marketing_messages" if category == "MARKETING" else "messages"


def message_body(phone: str, template: Template, callback_data: str) -> dict[str, Any]:
    """Return the request that sends a template to a person."""
    parameters = [
        {"type": "text", "parameter_name": name, "text": text} for name, text in template.parameters
    ]
    components = [{"type": "body", "parameters": parameters}] if parameters else []
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": phone,
        "type": "template",
        "template": {
            "name": template.name,
            "language": {"code": template.language},
            "components": components,
        },
        _CALLBACK_DATA: callback_data,
    }


def new_client(url: str, *, connections: int = 512) -> httpx2.AsyncClient:
    """Return a client for one event loop.

    Args:
        url: Where the API is.
        connections: How many calls may be under way; the sender itself stays below this.

    """
    # The local stack's fake is on this machine: never reach it through an environment's proxy.
    is_real = url == API_URL
    verified = httpx2.create_ssl_context(trust_env=is_real)

    def limits(size: int) -> httpx2.Limits:
        return httpx2.Limits(
            max_connections=size,
            max_keepalive_connections=size,
            keepalive_expiry=_KEEPALIVE_SECONDS,
        )

    def new_pool(size: int) -> httpx2.AsyncHTTPTransport:
        return httpx2.AsyncHTTPTransport(verify=verified, limits=limits(size), trust_env=is_real)

    # httpx2 uses the environment's proxies only when it makes the pool itself.
    has_proxy = is_real and bool(getproxies())
    spread = SpreadTransport(new_pool, connections=connections, size=_POOL_SIZE)
    return httpx2.AsyncClient(
        base_url=f"{url}/{_VERSION}",
        timeout=_TIMEOUT_SECONDS,
        limits=limits(connections),
        transport=None if has_proxy else spread,
        verify=verified,
        follow_redirects=False,
        trust_env=is_real,
    )


class Api:
    """Calls to one address of the API."""

    def __init__(self, client: httpx2.AsyncClient, classes: ErrorClasses) -> None:
        """Use a client; ``classes`` says what the error codes mean."""
        self._client = client
        self._classes = classes
        self._takes_callback_data: dict[Endpoint, bool] = {}

    async def send(
        self, number_id: str, endpoint: Endpoint, body: Mapping[str, Any], token: str
    ) -> Answer:
        """Post a message, and return what the answer proves."""
        if not self._takes_callback_data.get(endpoint, True):
            body = {key: value for key, value in body.items() if key != _CALLBACK_DATA}
        answer, content = await self._post(f"/{number_id}/{endpoint}", body, token)
        is_refused = isinstance(answer, Refused) and answer.code == _INVALID_PARAMETER
        if is_refused and _CALLBACK_DATA in body and _CALLBACK_DATA.encode() in content:
            # The public docs do not say whether the marketing endpoint accepts callback data.
            # A refused message was not sent, so it may be posted again.
            self._takes_callback_data[endpoint] = False
            return await self.send(number_id, endpoint, body, token)
        return answer

    async def templates(self, waba_id: str, token: str) -> list[dict[str, Any]]:
        """Return all templates of an account, as WhatsApp lists them.

        Raises:
            ServiceError: WhatsApp does not answer as it should.

        """
        path = f"/{waba_id}/message_templates"
        query: dict[str, str] = {"fields": _TEMPLATE_FIELDS, "limit": "100"}
        found: list[dict[str, Any]] = []
        while True:
            page = await self._read("GET", path, token, params=query)
            found += [row for row in page.get("data", []) if isinstance(row, dict)]
            paging = page.get("paging") or {}
            after = (paging.get("cursors") or {}).get("after")
            if "next" not in paging or not after:
                return found
            query["after"] = str(after)

    async def create_template(self, waba_id: str, body: Mapping[str, Any], token: str) -> str:
        """Submit a template; return its status.

        Raises:
            ServiceError: WhatsApp does not take it.

        """
        path = f"/{waba_id}/message_templates"
        made = await self._read("POST", path, token, json=dict(body))
        return str(made.get("status"))

    async def messaging_limit(self, number_id: str, token: str) -> str:
        """Return the tier of the portfolio that a number belongs to.

        Raises:
            ServiceError: WhatsApp does not answer as it should.

        """
        name = "whatsapp_business_manager_messaging_limit"
        read = await self._read("GET", f"/{number_id}", token, params={"fields": name})
        return str(read.get(name))

    async def _post(self, path: str, body: Mapping[str, Any], token: str) -> tuple[Answer, bytes]:
        try:
            response = await self._client.post(
                path,
                content=orjson.dumps(body),
                headers={**_authorization(token), "Content-Type": "application/json"},
            )
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
            # The only failures that prove that nothing left this machine.
            return NotSent(), b""
        except httpx2.HTTPError as error:
            return Unknown(type(error).__name__), b""
        return read_answer(response.status_code, _json(response), self._classes), response.content

    async def _read(self, method: str, path: str, token: str, **request: Any) -> dict[str, Any]:
        doing = f"{method} {path.rsplit('/', 1)[-1]}"
        try:
            response = await self._client.request(
                method, path, headers=_authorization(token), **request
            )
        except httpx2.HTTPError as error:
            message = f"{doing}: WhatsApp does not answer ({type(error).__name__})"
            raise ServiceError(message, is_transient=True) from error
        content = _json(response)
        if response.status_code != _OK or not isinstance(content, dict):
            raise _refusal(doing, response.status_code, content)
        return content


def _authorization(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _json(response: httpx2.Response) -> Any:
    try:
        return orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return None


def _refusal(doing: str, status: int, content: Any) -> ServiceError:
    """Return an error with the code; WhatsApp's own text is added only for templates."""
    error = content.get("error") if isinstance(content, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    told = str(error.get("error_user_msg") or "") if isinstance(error, dict) else ""
    message = f"{doing}: WhatsApp answered {status}, code {code}" + (f" ({told})" if told else "")
    return ServiceError(message, hint="docs/sending.md says what each code asks for")
