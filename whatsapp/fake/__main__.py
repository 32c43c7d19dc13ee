"""Run the fake: ``python -m whatsapp.fake ADDRESS_FILE [ACCOUNTS_FILE]``.

The system chooses the port. The address is written to ADDRESS_FILE once the server listens.
ACCOUNTS_FILE is JSON as for POST /_fake/accounts. It serves until SIGTERM.
"""

from __future__ import annotations

import sys
from pathlib import Path

from whatsapp.fake.config import Accounts
from whatsapp.fake.server import make_server
from whatsapp.fake.state import FakeState


def main(arguments: list[str]) -> None:
    """Serve until SIGTERM."""
    state = FakeState()
    if len(arguments) > 1:
        state.add_accounts(Accounts.model_validate_json(Path(arguments[1]).read_bytes()))
    server, listening, url = make_server(state)
    with listening:
        # The socket already listens: a client that reads the file may connect, and waits.
        part = Path(arguments[0] + ".part")
        part.write_text(url, encoding="utf-8")
        part.replace(arguments[0])
        server.run(sockets=[listening])


if __name__ == "__main__":
    main(sys.argv[1:])
