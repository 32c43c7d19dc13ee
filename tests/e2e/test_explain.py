"""`explain` says what the decisions say, with the fact behind each blocker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from loader.demo.sample import SAMPLE_AS_OF, load_sample, sample_laundromats
from loader.errors import ConfigurationError
from loader.show import show_explanation, show_json
from loader.sync import SyncOptions
from tests.support import decisions

if TYPE_CHECKING:
    from loader.session import Session


def test_it_agrees_with_the_decisions_for_every_sample_customer_and_names_nobody(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    laundromat = sample_laundromats(session.project)[0]
    cnpj = laundromat.cnpj
    load_sample(session.project, session.warehouse, session.registry, laundromat)
    session.build(cnpj, as_of=SAMPLE_AS_OF)
    session.sync(cnpj, as_of=SAMPLE_AS_OF, options=SyncOptions())
    decided = decisions(session, cnpj)
    customers = session.warehouse.query(
        f"select customer_id, name, phone, cpf from `{cnpj}_CAMPAIGN`.`customer_facts`",
        doing="reading customers",
    )

    for customer in customers:
        explanation = session.explain(cnpj, customer["customer_id"])
        assert explanation.built_at == SAMPLE_AS_OF
        for campaign in explanation.campaigns:
            decision = decided.get((campaign.campaign_type, customer["customer_id"]))
            assert campaign.is_candidate == (decision is not None)
            assert list(campaign.blockers) == list(decision["blockers"] if decision else [])
            assert all(campaign.blockers.values())
            is_target = decision is not None and not campaign.blockers
            assert campaign.document.get("status") == ("PENDING" if is_target else None)
        show_explanation(explanation)
        show_json(explanation)
        shown = capsys.readouterr().out
        assert json.loads(shown.splitlines()[-1])["customer_id"] == customer["customer_id"]
        for secret in (customer["name"], customer["phone"], customer["cpf"]):
            assert not secret or secret not in shown

    recent = session.explain(cnpj, "ipe-011")
    assert {
        campaign.campaign_type: campaign.blockers
        for campaign in recent.campaigns
        if campaign.is_candidate
    } == {"REACTIVATION": {"RECENT_VOUCHER": "a voucher was used on 2026-10-05"}}
    with pytest.raises(ConfigurationError, match="no customer 'nobody'"):
        session.explain(cnpj, "nobody")
