"""Erases a person from opt_outs: rows without an id of their own, some about several people."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from loader.base.pseudonyms import is_pseudonym
from loader.bigquery.merging import columns_of

if TYPE_CHECKING:
    from loader.base.cnpj import Cnpj
    from loader.bigquery.warehouse import Warehouse
    from loader.operations.privacy.person import KnownPerson

__all__ = ["erase_opt_outs"]

# Rows are found by the texts that name the person: they have no other key. What is left of such a
# row names the other people only: other phones in the field, or the id of another customer.
_KEEP_OTHERS = """
merge `{dataset}`.`opt_outs` as known
using (select text, others from `{dataset}`.`{texts}` where kind = 'phone') as texts
on known.phone = texts.text
when matched and (
    texts.others is not null
    or nullif(trim(known.user_id), '') not in (
        select text from `{dataset}`.`{texts}` where kind = 'user_id'
    )
) then update set
    phone = texts.others,
    user_id = if(
        known.user_id in (select text from `{dataset}`.`{texts}` where kind = 'user_id'),
        null,
        known.user_id
    ),
    whatsapp_user_id = null
"""
_DELETE = """
delete from `{dataset}`.`opt_outs`
where
    user_id in (select text from `{dataset}`.`{texts}` where kind = 'user_id')
    or whatsapp_user_id in (select text from `{dataset}`.`{texts}` where kind = 'whatsapp_user_id')
    or phone in (select text from `{dataset}`.`{texts}` where kind = 'phone' and others is null)
"""


@dataclass(frozen=True, order=True)
class _Text:
    """A text that names the person."""

    kind: str
    """The column."""
    text: str
    others: str | None = None
    """What stays of a field with the phones of several people."""


_COLUMNS = columns_of(_Text)


def erase_opt_outs(warehouse: Warehouse, cnpj: Cnpj, person: KnownPerson) -> None:
    """Delete the rows that name a person; the erasure's own, by pseudonyms, stay.

    A field with other people's phones loses only the person's, and so does a row with the id of
    another customer.
    """
    texts: set[_Text] = set()
    for opt_out in person.opt_outs:
        columns = opt_out.columns
        if is_pseudonym(columns["user_id"] or ""):
            continue
        texts.update(_Text("user_id", id_) for id_ in person.ids)
        if columns["whatsapp_user_id"] in person.user_ids:
            texts.add(_Text("whatsapp_user_id", columns["whatsapp_user_id"]))
        if opt_out.has_their_phone:
            texts.add(_Text("phone", columns["phone"], opt_out.others))
    if not texts:
        return
    dataset, doing = f"{cnpj}_CAMPAIGN", f"erasing a person from opt_outs of {cnpj}"
    rows = [asdict(text) for text in texts]
    with warehouse.loaded(dataset, _COLUMNS, rows, doing=doing) as table:
        if any(text.kind == "phone" for text in texts):
            warehouse.query(_KEEP_OTHERS.format(dataset=dataset, texts=table), doing=doing)
        warehouse.query(_DELETE.format(dataset=dataset, texts=table), doing=doing)
