"""Starting, finding and ending the two emulators and the fake of WhatsApp.

A stack has a state folder with its addresses and logs. `vmhub local up` starts a stack that keeps
running. The demo and the tests own their stack, which ends with them, however they end (see
`loader.local.guard`).
"""

from __future__ import annotations

import json
import secrets
import shutil
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import Request, urlopen

from loader.base.environment import Environment
from loader.base.errors import ConfigurationError, ServiceError
from loader.local.servers import (
    LOCALHOST,
    PYTHON_MODULE,
    Server,
    answers,
    end_server,
    free_port,
    speaks_grpc,
    start_server,
    wait_until,
)
from loader.local.whatsapp import (
    WHATSAPP_ACCOUNT,
    WHATSAPP_SECRETS,
    start_webhook,
    start_whatsapp,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from loader.dbt.project import Project

__all__ = [
    "WHATSAPP_ACCOUNT",
    "FirestoreKind",
    "LocalStack",
    "load_stack",
    "local_stack",
    "require_firestore_emulator",
    "start_google",
    "start_stack",
    "stop_stack",
]

_STATE_FILE = "stack.json"
_FIRESTORE_DATA = "firestore"
_EMBEDDED_DATA = "firestore.documents"
# In the project: all stacks of a checkout use it, and it goes with `make clean`.
_TRANSLATIONS = ".vmhub/translations.db"


class FirestoreKind(StrEnum):
    """Which Firestore a stack starts."""

    EMBEDDED = "embedded"
    """`loader.local.firestore`, which needs nothing but Python."""
    GOOGLE = "google"
    """Google's emulator, which needs Java and the Google Cloud SDK."""


@dataclass(frozen=True)
class LocalStack:
    """Two running emulators, a fake of WhatsApp's Cloud API, and how to reach them."""

    state_dir: Path
    project: str
    firestore_host: str
    bigquery_url: str
    bigquery_storage_host: str
    whatsapp_url: str
    servers: tuple[Server, ...]
    """The guards that this stack started, without emulators that were already running."""
    webhook_url: str = ""
    """Where the fake's webhooks go; empty: nowhere."""
    data_dir: Path | None = None
    """Where data is kept when the stack ends; None: data is lost."""
    firestore: FirestoreKind = FirestoreKind.GOOGLE
    """A stack that an older version started has Google's."""

    def environment(self) -> Environment:
        """Return the addresses as an `Environment`."""
        return Environment(
            project=self.project,
            firestore_host=self.firestore_host,
            bigquery_url=self.bigquery_url,
            bigquery_storage_host=self.bigquery_storage_host,
            location="US",
            whatsapp_url=self.whatsapp_url,
            profiles_dir=self.state_dir / "profiles",
            dbt_target="local",
        )

    def variables(self) -> dict[str, str]:
        """Return all variables of the stack; the secrets are the fake's, so not confidential."""
        return self.environment().variables() | WHATSAPP_SECRETS

    def is_running(self) -> bool:
        """Return whether every server this stack started still runs."""
        return all(server.process() for server in self.servers)


def start_stack(
    project: Project,
    state_dir: Path,
    *,
    data_dir: Path | None = None,
    firestore: FirestoreKind = FirestoreKind.EMBEDDED,
    firestore_host: str | None = None,
    is_owned: bool = False,
    receives: bool = False,
    as_of: datetime | None = None,
) -> LocalStack:
    """Start the servers on free ports and wait until they answer.

    Args:
        project: Has the dbt profile.
        state_dir: Where logs and addresses go; made when missing.
        data_dir: Keep all data there, and load what is there; None: in memory.
        firestore: Which Firestore to start.
        firestore_host: ``host:port`` of a Firestore emulator to use instead of starting one. The
            stack has a project id of its own, so documents of other projects stay as they are.
        is_owned: The emulators end with this process.
        receives: Start `vmhub webhook`, too, and let the fake send it all events.
        as_of: Where the webhook's clock starts; None: it uses the machine's clock.

    Raises:
        ConfigurationError: Google's emulator is asked for, and Java, gcloud or its component is
            missing; or a stack already runs in the state folder.
        ServiceError: An emulator did not start; the error names its log.

    """
    running = load_stack(state_dir)
    if running is not None and running.is_running():
        message = f"a local stack already runs from {state_dir}"
        raise ConfigurationError(message, hint="end it with `vmhub local down`")
    state_dir.mkdir(parents=True, exist_ok=True)
    _check_firestore(firestore, firestore_host)
    servers: list[Server] = []
    try:
        # Start both before waiting for either: each takes seconds.
        translations = project.root / _TRANSLATIONS
        wait_for_bigquery = _start_bigquery(
            state_dir, data_dir, translations, servers, is_owned=is_owned
        )
        wait_for_whatsapp = start_whatsapp(state_dir, servers, is_owned=is_owned)
        if firestore_host is None:
            start = start_google if firestore is FirestoreKind.GOOGLE else _start_embedded
            firestore_host = start(state_dir, data_dir, servers, is_owned=is_owned)
        whatsapp_url = wait_for_whatsapp()
        ports = wait_for_bigquery()
    except BaseException:
        for server in servers:
            end_server(server)
        raise
    profiles_dir = state_dir / "profiles"
    profiles_dir.mkdir(exist_ok=True)
    shutil.copyfile(project.root / "profiles.yml.example", profiles_dir / "profiles.yml")
    stack = LocalStack(
        state_dir=state_dir,
        # A fixed id, so that kept data is found again.
        project="vmhub-local" if data_dir else f"vmhub-local-{secrets.token_hex(4)}",
        firestore_host=firestore_host,
        bigquery_url=f"http://{LOCALHOST}:{ports['rest']}",
        bigquery_storage_host=f"{LOCALHOST}:{ports['grpc']}",
        whatsapp_url=whatsapp_url,
        servers=tuple(servers),
        data_dir=data_dir,
        firestore=firestore,
    )
    if receives:
        try:
            url = start_webhook(
                state_dir, stack.variables(), servers, is_owned=is_owned, as_of=as_of
            )
        except BaseException:
            for server in servers:
                end_server(server)
            raise
        stack = replace(stack, webhook_url=url, servers=tuple(servers))
    state = json.dumps(asdict(stack), indent=2, default=str)
    (state_dir / _STATE_FILE).write_text(state, encoding="utf-8")
    return stack


def _check_firestore(kind: FirestoreKind, host: str | None) -> None:
    """Raise a ConfigurationError if there can be no Firestore."""
    if host is None:
        if kind is FirestoreKind.GOOGLE:
            require_firestore_emulator()
    elif not speaks_grpc(host):
        message = f"FIRESTORE_EMULATOR_HOST is {host}, where nothing answers"
        raise ConfigurationError(
            message, hint="start that emulator, or unset the variable to have one started"
        )


def load_stack(state_dir: Path) -> LocalStack | None:
    """Return the stack last started from a state folder, running or not; None: none was."""
    try:
        state = json.loads((state_dir / _STATE_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    servers = tuple(Server(**server) for server in state.pop("servers"))
    data_dir = Path(state["data_dir"]) if state["data_dir"] else None
    # A stack that an older version started has no fake of WhatsApp; it can still be ended.
    known = {"whatsapp_url": "", **state, "state_dir": state_dir, "data_dir": data_dir}
    known["firestore"] = FirestoreKind(state.get("firestore", FirestoreKind.GOOGLE))
    return LocalStack(**known, servers=servers)


def stop_stack(stack: LocalStack) -> None:
    """End the emulators that this stack started, and nothing else.

    Raises:
        ServiceError: The data could not be written to the data folder; the stack still runs.

    """
    if (
        stack.data_dir is not None
        and stack.firestore is FirestoreKind.GOOGLE
        and stack.is_running()
    ):
        _keep_firestore(stack, stack.data_dir)
    for server in stack.servers:
        end_server(server)
    (stack.state_dir / _STATE_FILE).unlink(missing_ok=True)


@contextmanager
def local_stack(
    project: Project,
    state_dir: Path,
    *,
    firestore: FirestoreKind = FirestoreKind.EMBEDDED,
    firestore_host: str | None = None,
    receives: bool = False,
    as_of: datetime | None = None,
) -> Iterator[LocalStack]:
    """Start a stack for the block, and end it after the block; see `start_stack`."""
    stack = start_stack(
        project,
        state_dir,
        firestore=firestore,
        firestore_host=firestore_host,
        is_owned=True,
        receives=receives,
        as_of=as_of,
    )
    try:
        yield stack
    finally:
        stop_stack(stack)


def _start_bigquery(
    state_dir: Path,
    data_dir: Path | None,
    translations: Path,
    servers: list[Server],
    *,
    is_owned: bool,
) -> Callable[[], dict[str, int]]:
    ports_file = state_dir / "bigquery-ports.json"
    ports_file.unlink(missing_ok=True)
    home = state_dir / "home"
    home.mkdir(exist_ok=True)
    translations.parent.mkdir(exist_ok=True)
    log = state_dir / "bigquery.log"
    server = start_server(
        [
            *PYTHON_MODULE,
            "loader.local.bigquery_server",
            str(ports_file),
            *([f"--data-dir={data_dir / 'bigquery'}"] if data_dir else []),
            f"--translations={translations}",
        ],
        log,
        # DuckDB keeps its extensions below the home folder; the user's own is not touched.
        {"HOME": str(home)},
        is_owned=is_owned,
    )
    servers.append(server)

    def wait() -> dict[str, int]:
        wait_until(server, log, "the BigQuery emulator", ports_file.exists)
        ports: dict[str, int] = json.loads(ports_file.read_text(encoding="utf-8"))
        return ports

    return wait


def _start_embedded(
    state_dir: Path, data_dir: Path | None, servers: list[Server], *, is_owned: bool
) -> str:
    port_file, log = state_dir / "firestore-port", state_dir / "firestore.log"
    port_file.unlink(missing_ok=True)
    command = [*PYTHON_MODULE, "loader.local.firestore.server", str(port_file)]
    command += [str(data_dir / _EMBEDDED_DATA)] if data_dir else []
    server = start_server(command, log, {}, is_owned=is_owned)
    servers.append(server)
    wait_until(server, log, "the embedded Firestore", port_file.exists)
    return f"{LOCALHOST}:{port_file.read_text(encoding='ascii')}"


def start_google(
    state_dir: Path, data_dir: Path | None, servers: list[Server], *, is_owned: bool
) -> str:
    """Start Google's emulator, add it to the servers, and return its ``host:port``."""
    host = f"{LOCALHOST}:{free_port()}"
    log = state_dir / "firestore.log"
    command = ["gcloud", "emulators", "firestore", "start", f"--host-port={host}"]
    if data_dir is not None:
        data_dir.mkdir(parents=True, exist_ok=True)
        # A path relative to the data folder: gcloud's start script splits paths at spaces.
        kept = Path(_FIRESTORE_DATA, "kept", "kept.overall_export_metadata")
        command += [f"--import-data={kept}"] if (data_dir / kept).exists() else []
    server = start_server(
        command,
        log,
        {
            # Do not use or change the user's own gcloud settings and log-ins.
            "CLOUDSDK_CONFIG": str(state_dir / "gcloud"),
            "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
            "CLOUDSDK_CORE_PROJECT": "vmhub-local",
        },
        is_owned=is_owned,
        folder=data_dir,
    )
    servers.append(server)
    wait_until(server, log, "the Firestore emulator", lambda: answers(host))
    return host


def _keep_firestore(stack: LocalStack, data_dir: Path) -> None:
    """Write the emulator's documents to the data folder, then delete the earlier ones.

    gcloud's own --export-on-exit writes nothing when the emulator is ended by a signal (1.19.9).
    """
    unfinished, finished = data_dir / f"{_FIRESTORE_DATA}.new", data_dir / _FIRESTORE_DATA
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    body = {
        "database": f"projects/{stack.project}/databases/(default)",
        "export_directory": str(unfinished),
        "export_name": "kept",
    }
    request = Request(
        f"http://{stack.firestore_host}/emulator/v1/projects/{stack.project}:export",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urlopen(request, timeout=120):  # noqa: S310 # nosec B310 # our own emulator
            pass
    except (URLError, OSError) as error:
        message = f"the Firestore emulator's data could not be written to {unfinished}"
        raise ServiceError(message, hint=f"its log is {stack.state_dir}/firestore.log") from error
    shutil.rmtree(finished, ignore_errors=True)
    unfinished.rename(finished)


def require_firestore_emulator() -> None:
    """Raise a ConfigurationError unless Google's emulator can be started."""
    if shutil.which("java") is None:
        message = "the Firestore emulator needs Java and there is no `java` on the PATH"
        raise ConfigurationError(message, hint="install a Java runtime, 11 or newer")
    gcloud = shutil.which("gcloud")
    if gcloud is None:
        message = "the Google Cloud SDK is not installed: there is no `gcloud` on the PATH"
        raise ConfigurationError(
            message, hint="install it, and its component cloud-firestore-emulator"
        )
    platform = Path(gcloud).resolve().parents[1] / "platform"
    if platform.is_dir() and not (platform / "cloud-firestore-emulator").is_dir():
        message = "the Google Cloud SDK lacks the Firestore emulator"
        raise ConfigurationError(
            message, hint="run `gcloud components install cloud-firestore-emulator`"
        )
