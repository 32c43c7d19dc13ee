"""The stack's WhatsApp: the fake of the Cloud API, and the webhook that gets its events."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from loader.local.servers import LOCALHOST, PYTHON_MODULE, free_port, start_server, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from loader.local.servers import Server

__all__ = ["WHATSAPP_ACCOUNT", "WHATSAPP_SECRETS", "start_webhook", "start_whatsapp"]

# The sending account of a laundromat of the local stack: users/{cnpj}.whatsapp.
WHATSAPP_ACCOUNT = {
    "phoneNumberId": "5001",
    "wabaId": "3001",
    "portfolioId": "1001",
    "tokenSecret": "WHATSAPP_TOKEN",
    "enabled": True,
}
# The fake's secrets, by the names that sender and webhook look for; none is confidential.
WHATSAPP_SECRETS = {
    "WHATSAPP_TOKEN": "token-of-the-local-stack",
    "WHATSAPP_APP_SECRET": "app-secret-of-the-local-stack",
    "VMHUB_APP_SECRETS": "WHATSAPP_APP_SECRET",
    "VMHUB_VERIFY_TOKEN": "verify-token-of-the-local-stack",
    "VMHUB_PHONE_KEY": "local",
}
_ACCOUNTS = {
    "portfolios": [{"id": "1001", "people_in_24_hours": 2000}],
    "wabas": [{"id": "3001", "portfolio_id": "1001"}],
    "numbers": [{"id": "5001", "waba_id": "3001", "display_phone_number": "551140000001"}],
    "tokens": [{"token": WHATSAPP_SECRETS["WHATSAPP_TOKEN"], "waba_ids": ["3001"]}],
}
_SETTINGS: dict[str, Any] = {"review": "APPROVED"}
# The statuses that follow each message, so that there is something to see.
_FOLLOW_UP = [
    {"status": "sent"},
    {"status": "delivered", "after_seconds": 1},
    {"status": "read", "after_seconds": 3},
]


def start_whatsapp(state_dir: Path, servers: list[Server], *, is_owned: bool) -> Callable[[], str]:
    """Start the fake; return a function that waits for it and returns its address."""
    address_file, accounts_file = state_dir / "whatsapp-url", state_dir / "whatsapp-accounts.json"
    address_file.unlink(missing_ok=True)
    accounts_file.write_text(json.dumps(_ACCOUNTS), encoding="utf-8")
    log = state_dir / "whatsapp.log"
    server = start_server(
        # Started by name: no package below the command line may import the integration.
        [*PYTHON_MODULE, "whatsapp.fake", str(address_file), str(accounts_file)],
        log,
        {},
        is_owned=is_owned,
    )
    servers.append(server)

    def wait() -> str:
        wait_until(server, log, "the fake of WhatsApp", address_file.exists)
        url = address_file.read_text(encoding="utf-8")
        _set(url, _SETTINGS)
        return url

    return wait


def start_webhook(
    folder: Path,
    variables: Mapping[str, str],
    servers: list[Server],
    *,
    is_owned: bool,
    as_of: datetime | None,
) -> str:
    """Start `vmhub webhook`, and let the fake send it all events; return its address.

    Args:
        folder: Where its log goes.
        variables: All variables of the stack.
        servers: The new server is added in front, so that it ends before the services that it
            writes to.
        is_owned: It ends with this process.
        as_of: Where its clock starts; None: it uses the machine's clock.

    Raises:
        ServiceError: It did not start; the error names its log.

    """
    port = free_port()
    log = folder / "webhook.log"
    clock = ["--as-of", as_of.isoformat()] if as_of is not None else []
    server = start_server(
        [*PYTHON_MODULE, "loader", "webhook", "--port", str(port), *clock],
        log,
        dict(variables),
        is_owned=is_owned,
    )
    servers.insert(0, server)
    address = f"http://{LOCALHOST}:{port}"
    wait_until(server, log, "the webhook", lambda: _is_up(f"{address}/healthz"))
    told = {
        "url": f"{address}/webhook",
        "app_secret": WHATSAPP_SECRETS["WHATSAPP_APP_SECRET"],
        "automatically": True,
        "follow_up": _FOLLOW_UP,
        "batch_size": 10,
    }
    _set(variables["WHATSAPP_API_URL"], _SETTINGS | {"webhooks": told})
    return f"{address}/webhook"


def _set(url: str, settings: Mapping[str, Any]) -> None:
    body = json.dumps(settings).encode()
    request = Request(f"{url}/_fake/settings", data=body, method="PUT")  # noqa: S310 - ours
    with urlopen(request, timeout=10):  # noqa: S310 # nosec B310 # our own server
        pass


def _is_up(url: str) -> bool:
    try:
        with urlopen(url, timeout=2):  # noqa: S310 # nosec B310 # our own server
            return True
    except (URLError, OSError):
        return False
