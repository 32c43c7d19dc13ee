"""Rows and pending documents are matched by a hash of campaign and customer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from loader.sync.match import Matches, RowKeys, RowState, Withdrawals
from tests.loader.fakes import make_document, make_target
from tests.support import AS_OF

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loader.sync.model import Target

LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
_IDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/"), min_size=1)


def _matches(targets: Sequence[Target], states: Sequence[RowState] | None = None) -> Matches:
    keys = RowKeys()
    states = states or [RowState.ACCEPTED] * len(targets)
    # In parts, as the rows come.
    for start in range(0, len(targets), 2):
        keys.add(targets[start : start + 2], states[start : start + 2])
    return keys.matches()


@given(rows=st.lists(_IDS, unique=True, max_size=20), pending=st.sets(_IDS, max_size=20))
def test_each_document_goes_to_its_row_and_the_others_are_left(
    rows: list[str], pending: set[str]
) -> None:
    pending |= set(rows[::2])
    targets = [make_target(id_) for id_ in rows]
    matches = _matches(targets)
    documents = {id_: make_document(id_, name=f"Name {id_}") for id_ in pending}
    without_row = matches.add("BIRTHDAY", list(documents.values()))
    assert {document.customer_id for document in without_row} == pending - set(rows)
    found = matches.documents(0, targets)
    for id_, document in zip(rows, found, strict=True):
        if id_ not in pending:
            assert document is None
            continue
        assert document is not None
        assert (document.customer_id, document.payload) == (id_, documents[id_].payload)


def test_a_matched_document_is_returned_with_all_that_decides_about_it() -> None:
    target = make_target()
    for instant in (None, AS_OF, LONG_AGO):
        matches = _matches([target])
        known = make_document(
            created_at=instant,
            claimed_until=instant,
            is_recorded=instant is None,
            has_open_attempt=instant is AS_OF,
            doubt="attempts is a text" if instant is LONG_AGO else "",
        )
        assert matches.add("BIRTHDAY", [known]) == []
        (found,) = matches.documents(0, [target])
        assert found is not None
        assert (found.update_time, found.status) == (known.update_time, known.status)
        assert (found.created_at, found.claimed_until) == (instant, instant)
        assert found.is_recorded == known.is_recorded
        assert found.has_open_attempt == known.has_open_attempt
        assert found.doubt == known.doubt


def test_the_same_customer_in_another_campaign_is_another_match() -> None:
    matches = _matches([make_target(campaign_type="LOYALTY")])
    assert matches.add("BIRTHDAY", [make_document()]) == [make_document()]
    assert matches.add("LOYALTY", [make_document()]) == []


def test_of_the_rows_of_one_customer_the_first_accepted_one_counts() -> None:
    targets = [make_target("c1"), make_target("c2"), *[make_target("c1")] * 3]
    states = [
        RowState.REJECTED,
        RowState.ACCEPTED,
        RowState.ACCEPTED,
        RowState.ACCEPTED,
        RowState.NOT_ASKED_FOR,
    ]
    matches = _matches(targets, states)
    assert list(matches.states(0, 5)) == [
        RowState.REJECTED,
        RowState.ACCEPTED,
        RowState.ACCEPTED,
        RowState.SECOND,
        RowState.NOT_ASKED_FOR,
    ]
    matches.add("BIRTHDAY", [make_document("c1")])
    assert [document is not None for document in matches.documents(0, targets)] == [
        False,
        False,
        True,
        False,
        False,
    ]


def test_a_rejected_row_matches_nothing() -> None:
    matches = _matches([make_target()], [RowState.REJECTED])
    assert matches.add("BIRTHDAY", [make_document()]) == [make_document()]


def test_without_rows_every_document_is_without_a_row() -> None:
    matches = _matches([])
    assert matches.add("BIRTHDAY", [make_document()]) == [make_document()]
    assert len(matches) == 0


def test_withdrawals_come_back_with_campaign_id_precondition_and_whether_they_were_attempted() -> (
    None
):
    withdrawals = Withdrawals()
    withdrawals.add("LOYALTY", make_document("b", update_time=LONG_AGO, was_attempted=True))
    withdrawals.add("BIRTHDAY", make_document("a"))
    withdrawals.add("LOYALTY", make_document("c"))
    found = [
        (campaign_type, document.customer_id, document.update_time, document.was_attempted)
        for campaign_type, document in withdrawals
    ]
    assert found == [
        ("LOYALTY", "b", LONG_AGO, True),
        ("LOYALTY", "c", make_document().update_time, False),
        ("BIRTHDAY", "a", make_document().update_time, False),
    ]
