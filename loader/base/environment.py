"""The addresses of the services: read once from the environment, then passed on.

Unset variables mean the real services with Application Default Credentials. `vmhub local env`
prints the ones of the local stack.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from loader.base.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ALERT_URLS_VARIABLE", "Environment"]

ALERT_URLS_VARIABLE = "VMHUB_ALERT_URLS"
"""The variable with the URLs of the alert receivers; they are secrets."""

_PROFILE_TARGETS = ("local", "dev", "prod")
_KMS_KEY = re.compile(r"projects/[^/\s]+/locations/[^/\s]+/keyRings/[^/\s]+/cryptoKeys/[^/\s]+")
_ACCOUNT = re.compile(r"(?:[a-z0-9-]|\{cnpj\})+@[a-z0-9.:-]+\.gserviceaccount\.com")


@dataclass(frozen=True)
class Environment:
    """The addresses one run works with."""

    project: str
    """Google Cloud project id, for BigQuery and Firestore alike."""
    firestore_host: str | None = None
    """``host:port`` of a Firestore emulator; None: the real service."""
    bigquery_url: str | None = None
    """``http://host:port`` of a BigQuery emulator; None: the real service."""
    bigquery_storage_host: str | None = None
    """``host:port`` of that emulator's Storage API."""
    location: str = "southamerica-east1"
    """Where BigQuery datasets are created."""
    whatsapp_url: str | None = None
    """``http://host:port`` of a fake of WhatsApp's Cloud API; None: the real one."""
    profiles_dir: Path | None = None
    """Folder of dbt's profiles.yml; None: dbt's own search."""
    dbt_target: str = "local"
    impersonate: str | None = None
    """The service account for a laundromat's datasets, with ``{cnpj}`` in place of the CNPJ.

    None: the process's own credentials.
    """
    kms_key: str | None = None
    """The key of Cloud KMS with which new tables of our datasets are encrypted; None: Google's."""

    @classmethod
    def from_variables(cls, variables: Mapping[str, str] | None = None) -> Environment:
        """Read the variables that Google's clients, dbt and `vmhub` share.

        Raises:
            ConfigurationError: No project is named, or only half of an emulator is.

        """
        given = os.environ if variables is None else variables
        project = given.get("GOOGLE_CLOUD_PROJECT", "")
        if not project:
            message = "GOOGLE_CLOUD_PROJECT is not set"
            raise ConfigurationError(
                message,
                hint='run `eval "$(vmhub local env)"` for the local stack, '
                "or set it to the id of your Google Cloud project",
            )
        bigquery_url = given.get("BIGQUERY_EMULATOR_HOST") or None
        storage_host = given.get("BIGQUERY_STORAGE_EMULATOR_HOST") or None
        firestore_host = given.get("FIRESTORE_EMULATOR_HOST") or None
        if len({bool(bigquery_url), bool(storage_host), bool(firestore_host)}) > 1:
            # Nobody wants to copy real tables into an emulator, or the reverse.
            message = (
                "FIRESTORE_EMULATOR_HOST, BIGQUERY_EMULATOR_HOST and "
                "BIGQUERY_STORAGE_EMULATOR_HOST must be set together or not at all"
            )
            raise ConfigurationError(
                message, hint='run `eval "$(vmhub local env)"`, or unset all three'
            )
        target = given.get("DBT_TARGET") or ("local" if bigquery_url else "prod")
        if target not in _PROFILE_TARGETS or (target == "local") != bool(bigquery_url):
            message = f"DBT_TARGET={target} does not fit the other variables"
            raise ConfigurationError(
                message, hint="local goes with the emulators, dev and prod without them"
            )
        impersonate = given.get("VMHUB_IMPERSONATE") or None
        if impersonate and (bigquery_url or not _ACCOUNT.fullmatch(impersonate)):
            message = "VMHUB_IMPERSONATE is no service account of a real project"
            raise ConfigurationError(
                message,
                hint="write vmhub-{cnpj}@my-project.iam.gserviceaccount.com; "
                "unset it for the emulators, which ask for no credentials",
            )
        kms_key = given.get("VMHUB_KMS_KEY") or None
        if kms_key and not _KMS_KEY.fullmatch(kms_key):
            message = "VMHUB_KMS_KEY is no name of a key"
            raise ConfigurationError(
                message, hint="write projects/…/locations/…/keyRings/…/cryptoKeys/…"
            )
        profiles_dir = given.get("DBT_PROFILES_DIR")
        return cls(
            project=project,
            firestore_host=firestore_host,
            bigquery_url=bigquery_url,
            bigquery_storage_host=storage_host,
            whatsapp_url=given.get("WHATSAPP_API_URL") or None,
            location=given.get("VMHUB_BIGQUERY_LOCATION")
            or ("US" if bigquery_url else "southamerica-east1"),
            profiles_dir=Path(profiles_dir) if profiles_dir else None,
            dbt_target=target,
            impersonate=impersonate,
            kms_key=kms_key,
        )

    @property
    def is_local(self) -> bool:
        """Whether the services are emulators."""
        return self.bigquery_url is not None

    def account(self, cnpj: str) -> str | None:
        """Return the service account that acts for a laundromat; None: the process's own."""
        return self.impersonate and self.impersonate.replace("{cnpj}", cnpj.lower())

    def variables(self) -> dict[str, str]:
        """Return the variables that make another process use the same services."""
        found = {
            "GOOGLE_CLOUD_PROJECT": self.project,
            "FIRESTORE_EMULATOR_HOST": self.firestore_host,
            "BIGQUERY_EMULATOR_HOST": self.bigquery_url,
            "BIGQUERY_STORAGE_EMULATOR_HOST": self.bigquery_storage_host,
            "WHATSAPP_API_URL": self.whatsapp_url,
            "VMHUB_BIGQUERY_LOCATION": self.location,
            "DBT_PROFILES_DIR": str(self.profiles_dir) if self.profiles_dir else None,
            "DBT_TARGET": self.dbt_target,
            "VMHUB_IMPERSONATE": self.impersonate,
            "VMHUB_KMS_KEY": self.kms_key,
        }
        return {name: value for name, value in found.items() if value is not None}
