"""The registry of laundromats: ``users/{cnpj}`` and ``users/{cnpj}/campaigns/{campaignType}``."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from google.api_core import exceptions as google_errors
from google.api_core.retry import Retry, if_exception_type
from google.cloud.firestore_v1.types import (
    CommitRequest,
    GetDocumentRequest,
    ListDocumentsRequest,
    RunQueryRequest,
    RunQueryResponse,
)

from loader.base.clock import now
from loader.base.cnpj import looks_like_cnpj, parse_cnpj
from loader.base.errors import ConfigurationError
from loader.base.fields import Fields
from loader.base.text import safe_text
from loader.firestore.client import service_errors
from loader.firestore.values import decode_fields
from loader.firestore.wire import encode_fields
from loader.messages import Watermark

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.firestore.client import Database
    from loader.firestore.traffic import TrafficCount

_log = logging.getLogger(__name__)

__all__ = ["Fleet", "Registration", "Registry", "RegistryEntry"]

# Every command reads the registry first. So this is also how long a command takes to report that
# Firestore does not answer.
_FIRST_CONTACT = Retry(
    predicate=if_exception_type(google_errors.ServiceUnavailable), initial=0.2, timeout=8.0
)
_TIMEOUT_SECONDS = 10.0
_MAX_NAME = 200
# A machine's clock can be behind the service's by at most this.
_CLOCK_MARGIN = timedelta(days=1)
_FLEET_TIMEOUT_SECONDS = 120.0


@dataclass(frozen=True)
class RegistryEntry:
    """A registered laundromat, as read from its registry documents."""

    cnpj: Cnpj
    name: str
    timezone: str | None
    settings: dict[str, Any] = field(default_factory=dict)
    setting_places: dict[str, str] = field(default_factory=dict)
    """The document that holds each setting; a setting without an entry is in users/{cnpj}."""
    disabled_campaigns: frozenset[str] = frozenset()
    campaign_types: frozenset[str] = frozenset()
    """The project's campaigns, and other campaigns that have documents here."""
    watermark: Watermark = field(default_factory=Watermark)
    """How far tracking has come."""

    def believed(self, as_of: datetime) -> RegistryEntry:
        """Return it without a watermark that is ahead of a run's instant."""
        return replace(self, watermark=self.watermark.believed(as_of))


@dataclass(frozen=True)
class Registration:
    """What onboarding writes into a laundromat's registry documents."""

    is_registered: bool
    name: str = ""
    timezone: str | None = None
    campaigns: tuple[str, ...] = ()
    """The campaigns with a document of their own."""

    def changed(
        self, name: str, timezone: str | None, campaign_types: Iterable[str]
    ) -> Registration:
        """Return what it is after `Registry.register` was called with these arguments."""
        return Registration(
            is_registered=True,
            name=safe_text(name),
            timezone=timezone or self.timezone,
            campaigns=tuple(sorted({*self.campaigns, *campaign_types})),
        )

    def as_json(self) -> dict[str, Any] | None:
        """Return it for the audit log; None: not registered."""
        if not self.is_registered:
            return None
        return {"name": self.name, "timezone": self.timezone, "campaigns": list(self.campaigns)}


class Fleet(NamedTuple):
    """The content of the registry."""

    entries: list[RegistryEntry]
    """The active laundromats."""
    errors: dict[str, str]
    """The errors of laundromats that cannot be served, by CNPJ."""
    strangers: int
    """Documents of `users` with an id that is not a CNPJ, such as another program's."""


class Registry:
    """Reads and writes the registry of a database."""

    def __init__(self, database: Database, campaign_types: Iterable[str] = ()) -> None:
        """Use this database's registry.

        Args:
            database: The connection.
            campaign_types: The project's campaigns, which every laundromat has.

        """
        self._database = database
        self._known_campaigns = frozenset(campaign_types)

    @property
    def traffic(self) -> TrafficCount:
        """What was read and written over its connection so far."""
        return self._database.traffic.count()

    def entry(self, cnpj: Cnpj, *, even_inactive: bool = False) -> RegistryEntry:
        """Return an active laundromat.

        Args:
            cnpj: The laundromat.
            even_inactive: Return it also when it is not served any more.

        Raises:
            ConfigurationError: It is not registered, or not active.
            ServiceError: Firestore does not answer.

        """
        user = self._get("users", cnpj)
        if (
            user is not None
            and not even_inactive
            and not _is_on(Fields(user), "active", f"users/{cnpj}")
        ):
            message = f"CNPJ {cnpj} is registered but not active"
            raise ConfigurationError(message, hint=f"set users/{cnpj}.active to true to serve it")
        if user is None:
            message = f"CNPJ {cnpj} is not registered in {self._database.address}"
            raise ConfigurationError(message, hint=f'run `vmhub onboard --cnpj {cnpj} --name "…"`')
        return _entry(cnpj, user, self._campaigns(cnpj), self._known_campaigns)

    def entries(self, cnpjs: Iterable[Cnpj]) -> tuple[list[RegistryEntry], dict[str, str]]:
        """Return these laundromats, and the errors of those that cannot be served."""
        entries: list[RegistryEntry] = []
        errors: dict[str, str] = {}
        for cnpj in cnpjs:
            try:
                entries.append(self.entry(cnpj))
            except ConfigurationError as error:
                errors[cnpj] = str(error)
        return entries, errors

    def fleet(self) -> Fleet:
        """Return all active laundromats; it takes two queries for any number of them."""
        campaigns: dict[str, dict[str, dict[str, Any] | None]] = {}
        for raw in self._query("campaigns", all_descendants=True):
            match raw.name.split("/documents/", 1)[-1].split("/"):
                case ["users", cnpj, "campaigns", campaign_type]:
                    campaigns.setdefault(cnpj, {})[campaign_type] = decode_fields(raw.fields)
        entries: list[RegistryEntry] = []
        errors: dict[str, str] = {}
        strangers = 0
        for raw in self._query("users", all_descendants=False):
            name = raw.name.rsplit("/", 1)[-1]
            if not looks_like_cnpj(name):
                strangers += 1
                continue
            user = decode_fields(raw.fields)
            try:
                if not _is_on(Fields(user), "active", f"users/{name}"):
                    continue
                cnpj = parse_cnpj(name)
                if cnpj != name:
                    message = f"users/{name} is CNPJ {cnpj} in another spelling"
                    raise ConfigurationError(message, hint=f"its document is users/{cnpj}")  # noqa: TRY301
                entries.append(_entry(cnpj, user, campaigns.get(name, {}), self._known_campaigns))
            except ConfigurationError as error:
                errors[name] = str(error)
        return Fleet(entries, errors, strangers)

    def set_tracked(self, marks: Mapping[Cnpj, datetime | None], *, until: datetime) -> None:
        """Move the watermarks of laundromats.

        Args:
            marks: For each laundromat, Firestore's time of a read of all documents; None: only
                changed ones were read.
            until: The run's instant.

        """
        commit = CommitRequest(database=self._database.name)
        raw = CommitRequest.pb(commit)
        for cnpj, full_at in marks.items():
            fields = {"trackedUntil": until} | ({"trackedFullAt": full_at} if full_at else {})
            write = self._add_write(raw, fields, "users", cnpj, exists=True)
            write.update_mask.field_paths.extend(fields)
        with service_errors(self._database, "moving watermarks"):
            self._database.commit(commit, _TIMEOUT_SECONDS)

    def registration(self, cnpj: Cnpj) -> Registration:
        """Return what `register` would change, also of a laundromat that is not active."""
        user = self._get("users", cnpj)
        if user is None:
            return Registration(is_registered=False)
        fields = Fields(user)
        timezone = fields.text("timezone", most=_MAX_NAME)
        return Registration(
            is_registered=True,
            name=safe_text(fields.text("name", most=_MAX_NAME) or ""),
            timezone=timezone and safe_text(timezone),
            campaigns=tuple(
                sorted(name for name, values in self._campaigns(cnpj).items() if values is not None)
            ),
        )

    def register(
        self, cnpj: Cnpj, *, name: str, timezone: str | None, campaign_types: Iterable[str]
    ) -> bool:
        """Create a laundromat's registry documents, or add what is missing in them.

        Settings, and a campaign that was disabled, stay as they are.

        Returns:
            Whether the laundromat is new.

        """
        known = self._get("users", cnpj)
        campaigns = self._campaigns(cnpj)
        commit = CommitRequest(database=self._database.name)
        raw = CommitRequest.pb(commit)
        if known is None:
            user = {"name": name, "active": True, "timezone": timezone, "settings": {}}
            self._add_write(raw, user, "users", cnpj)
        else:
            changed = {"name": name} | ({"timezone": timezone} if timezone else {})
            write = self._add_write(raw, changed, "users", cnpj, exists=True)
            write.update_mask.field_paths.extend(changed)
        for campaign_type in campaign_types:
            if campaigns.get(campaign_type) is None:
                campaign = {"enabled": True, "settings": {}}
                self._add_write(raw, campaign, "users", cnpj, "campaigns", campaign_type)
        with service_errors(self._database, f"registering CNPJ {cnpj}"):
            self._database.commit(commit, _TIMEOUT_SECONDS)
        return known is None

    def set_whatsapp(self, cnpj: Cnpj, account: Mapping[str, Any]) -> None:
        """Set a registered laundromat's sending account; docs/sending.md lists the fields."""
        commit = CommitRequest(database=self._database.name)
        fields = {"whatsapp": dict(account)}
        write = self._add_write(CommitRequest.pb(commit), fields, "users", cnpj, exists=True)
        write.update_mask.field_paths.extend(fields)
        with service_errors(self._database, f"writing the account of CNPJ {cnpj}"):
            self._database.commit(commit, _TIMEOUT_SECONDS)

    def _get(self, *segments: str) -> dict[str, Any] | None:
        request = GetDocumentRequest(name=self._database.path(*segments))
        self._database.traffic.add_reads(1)
        with service_errors(self._database, "reading the registry"):
            try:
                document = self._database.api.get_document(
                    request=request,
                    metadata=self._database.metadata,
                    retry=_FIRST_CONTACT,
                    timeout=_TIMEOUT_SECONDS,
                )
            except google_errors.NotFound:
                return None
        return decode_fields(type(document).pb(document).fields)

    def _query(self, collection_id: str, *, all_descendants: bool) -> Iterator[Any]:
        request = RunQueryRequest(
            parent=self._database.root,
            structured_query={
                "from_": [{"collection_id": collection_id, "all_descendants": all_descendants}]
            },
        )
        query = self._database.stream("RunQuery", RunQueryRequest, RunQueryResponse)
        with service_errors(self._database, "reading the registry"):
            for response in query(request, _FLEET_TIMEOUT_SECONDS):
                if response.HasField("document"):
                    yield response.document

    def _campaigns(self, cnpj: Cnpj) -> dict[str, dict[str, Any] | None]:
        """Return the campaigns by type; None: it has targets but no document of its own."""
        request = ListDocumentsRequest(
            parent=self._database.path("users", cnpj),
            collection_id="campaigns",
            show_missing=True,
        )
        with service_errors(self._database, "reading the registry"):
            documents = list(
                self._database.api.list_documents(
                    request=request, metadata=self._database.metadata, timeout=_TIMEOUT_SECONDS
                )
            )
        self._database.traffic.add_reads(max(len(documents), 1))
        found: dict[str, dict[str, Any] | None] = {}
        for document in documents:
            raw = type(document).pb(document)
            is_there = raw.HasField("create_time")
            found[raw.name.rsplit("/", 1)[-1]] = decode_fields(raw.fields) if is_there else None
        return found

    def _add_write(
        self, raw: Any, fields: dict[str, Any], *segments: str, exists: bool = False
    ) -> Any:
        write = raw.writes.add()
        write.update.name = self._database.path(*segments)
        write.current_document.exists = exists
        write.update.MergeFromString(encode_fields(fields))
        return write


def _entry(
    cnpj: Cnpj,
    user: dict[str, Any],
    campaigns: dict[str, dict[str, Any] | None],
    known_campaigns: frozenset[str],
) -> RegistryEntry:
    settings = _settings(user, f"users/{cnpj}")
    places = dict.fromkeys(settings, f"users/{cnpj}")
    for campaign_type, campaign in campaigns.items():
        place = f"users/{cnpj}/campaigns/{campaign_type}"
        own = _settings(campaign or {}, place)
        settings.update(own)
        places.update(dict.fromkeys(own, place))
    return RegistryEntry(
        cnpj=cnpj,
        name=safe_text(Fields(user).text("name", most=_MAX_NAME) or ""),
        timezone=user.get("timezone"),
        settings=settings,
        setting_places=places,
        disabled_campaigns=frozenset(
            name
            for name, campaign in campaigns.items()
            if campaign is not None
            and not _is_on(Fields(campaign), "enabled", f"users/{cnpj}/campaigns/{name}")
        ),
        campaign_types=known_campaigns.union(campaigns),
        watermark=_watermark(Fields(user), cnpj),
    )


def _is_on(fields: Fields, name: str, place: str) -> bool:
    """Return a boolean field; it is true if it is not set.

    Raises:
        ConfigurationError: It has another type, so its meaning is not clear.

    """
    value = fields.switch(name)
    if value is None and fields.is_there(name):
        message = f"{place}.{name} is neither true nor false"
        raise ConfigurationError(message, hint="write a boolean: true or false, without quotes")
    return value is not False


def _watermark(fields: Fields, cnpj: Cnpj) -> Watermark:
    """Return how far tracking has come; an impossible value makes it read all documents again."""
    until, full_at = fields.instant("trackedUntil"), fields.instant("trackedFullAt")
    if full_at is not None and full_at > now() + _CLOCK_MARGIN:
        fields.problems.append("trackedFullAt is later than now")
        full_at = None
    if fields.problems:
        _log.warning("users/%s: %s; it counts as not set", cnpj, "; ".join(fields.problems))
    return Watermark(until, full_at)


def _settings(fields: dict[str, Any], place: str) -> dict[str, Any]:
    dotted = sorted(name for name in fields if name.startswith("settings."))
    if dotted:
        message = f"{place} has a field whose name is {safe_text(dotted[0])!r}"
        raise ConfigurationError(message, hint="write the setting into the map 'settings'")
    settings = fields.get("settings")
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        message = f"{place} has settings that are not a map"
        raise ConfigurationError(message, hint="write a map of setting to value")
    return dict(settings)
