"""How the demo sends: with the real sender, through the fake WhatsApp of its stack."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx2

from loader.local.demo import Sent
from loader.local.stack import WHATSAPP_ACCOUNT
from whatsapp.process import Seeds, send
from whatsapp.templates import creation, read_seed_templates

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from loader.base.cnpj import Cnpj
    from loader.local.stack import LocalStack
    from loader.services import Services

__all__ = ["prepared_sender"]

# The phone of ipe-008: WhatsApp is out of order for it, as often as one attempt is posted.
_FAILING = {
    "fault": {"kind": "error", "code": 131016},
    "to": "5511900000008",
    "times": 4,
}


def prepared_sender(services: Services, stack: LocalStack) -> Callable[[Cnpj, datetime], Sent]:
    """Submit the templates, let one message fail, and return what sends for a laundromat."""
    # The secrets of the fake, where the sender looks for secrets.
    os.environ |= stack.variables()
    seeds = Seeds(services.project.root / "seeds")
    token = os.environ[str(WHATSAPP_ACCOUNT["tokenSecret"])]
    with httpx2.Client(base_url=stack.whatsapp_url, trust_env=False) as client:
        for template in read_seed_templates(seeds.templates).values():
            client.post(
                f"/v24.0/{WHATSAPP_ACCOUNT['wabaId']}/message_templates",
                json=creation(template),
                headers={"Authorization": f"Bearer {token}"},
            ).raise_for_status()
        client.post("/_fake/rules", json=_FAILING).raise_for_status()

    def send_for(cnpj: Cnpj, at: datetime) -> Sent:
        began = time.monotonic()
        report, _ = send(
            services.environment,
            seeds,
            once=True,
            cnpj=cnpj,
            now=lambda: at + timedelta(seconds=time.monotonic() - began),
        )
        return Sent(cnpj, report.sent, sum(report.failed.values()))

    return send_for
