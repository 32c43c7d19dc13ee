"""The kinds of alerts."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Kind"]


class Kind(StrEnum):
    """What can be wrong, most urgent first."""

    NO_RUN = "no_run"
    ERROR_RATE = "error_rate"
    FAILING = "failing"
    WHATSAPP = "whatsapp"
    STALE_RAW = "stale_raw"
    WEBHOOK_SILENT = "webhook_silent"
    WEBHOOK_FAILING = "webhook_failing"
    WEBHOOK_REFUSED = "webhook_refused"
    SEND_PAUSED = "send_paused"
    SEND_SILENT = "send_silent"
    SEND_WAITING = "send_waiting"
    SEND_FAILING = "send_failing"
    SEND_UNKNOWN = "send_unknown"
    OVER_TIME = "over_time"
    OVER_MEMORY = "over_memory"
    OVER_COST = "over_cost"
