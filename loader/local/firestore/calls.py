"""The methods of ``google.firestore.v1.Firestore``: bytes of a request to bytes of the replies."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import grpc
from google.cloud.firestore_v1.types import (
    BatchGetDocumentsRequest,
    BatchGetDocumentsResponse,
    BatchWriteRequest,
    BatchWriteResponse,
    BeginTransactionRequest,
    BeginTransactionResponse,
    CommitRequest,
    CommitResponse,
    CreateDocumentRequest,
    DeleteDocumentRequest,
    Document,
    GetDocumentRequest,
    ListCollectionIdsRequest,
    ListCollectionIdsResponse,
    ListDocumentsRequest,
    ListDocumentsResponse,
    RollbackRequest,
    RunAggregationQueryRequest,
    RunAggregationQueryResponse,
    RunQueryRequest,
    RunQueryResponse,
    UpdateDocumentRequest,
    Write,
)
from google.protobuf.empty_pb2 import Empty  # type: ignore[import-untyped]

from loader.local.firestore.documents import Documents
from loader.local.firestore.fields import masked
from loader.local.firestore.names import check_document_name, check_parent, field_path
from loader.local.firestore.queries import aggregated, selected, shown
from loader.local.firestore.refusal import RefusedCall, invalid, unknown
from loader.local.firestore.transactions import Transactions
from loader.local.firestore.values import name_key
from loader.local.firestore.writing import name_of, precondition, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["METHODS", "EmbeddedFirestore"]

_PAGE = 300


class EmbeddedFirestore:
    """A Firestore in memory; every call except BatchWrite is atomic, as in the service."""

    def __init__(self) -> None:
        """Begin without documents."""
        self.documents = Documents()
        self._lock = threading.Condition()
        self._transactions = Transactions(self._lock)

    def names(self) -> list[str]:
        """Return the names of all documents, in their order."""
        with self._lock:
            found = [document.name for document in self.documents.everything()]
        return sorted(found, key=name_key)

    def answer(self, method: str, request: bytes) -> Iterator[bytes]:
        """Yield the replies to a call.

        Args:
            method: Such as ``BatchWrite``.
            request: The method's request, serialized.

        Raises:
            RefusedCall: The call ends with a status other than OK.

        """
        if method not in METHODS:
            unknown(f"the method {method}")
        type_, answer = METHODS[method]
        asked = type_.pb().FromString(request)
        with self._lock:
            replies = [reply.SerializeToString() for reply in answer(self, asked)]
        yield from replies

    # Reading

    def _get(self, request: Any) -> Iterator[Any]:
        check_document_name(request.name)
        self._note(request, [request.name])
        document = self.documents.get(request.name)
        if document is None:
            message = f'Document "{request.name}" not found.'
            raise RefusedCall(grpc.StatusCode.NOT_FOUND, message)
        yield _masked(document, request)

    def _batch_get(self, request: Any) -> Iterator[Any]:
        names = list(dict.fromkeys(request.documents))
        for name in names:
            check_document_name(name)
        transaction = self._note(request, names)
        read_time = self.documents.tick()
        if transaction and request.HasField("new_transaction"):
            yield BatchGetDocumentsResponse.pb()(transaction=transaction)
        for name in names:
            reply = BatchGetDocumentsResponse.pb()()
            document = self.documents.get(name)
            if document is None:
                reply.missing = name
            else:
                reply.found.CopyFrom(_masked(document, request))
            reply.read_time.FromMicroseconds(read_time)
            yield reply

    def _list_documents(self, request: Any) -> Iterator[Any]:
        check_parent(request.parent)
        if request.order_by not in ("", "__name__", "__name__ asc"):
            unknown("ListDocuments in another order than by name")
        if request.show_missing and request.order_by:
            invalid("show_missing cannot have an order.")
        found = {
            document.name: document
            for document in self.documents.found(
                request.parent, request.collection_id, is_deep=False
            )
        }
        if request.show_missing and request.collection_id:
            collection = f"{request.parent}/{request.collection_id}"
            for name in self.documents.missing_parents(collection):
                found[name] = Document.pb()(name=name)
        self._note(request, found)
        names = sorted(found, key=name_key)
        if request.page_token:
            names = [name for name in names if name_key(name) > name_key(request.page_token)]
        page = names[: request.page_size or _PAGE]
        reply = ListDocumentsResponse.pb()()
        reply.documents.extend(_masked(found[name], request) for name in page)
        if len(page) < len(names):
            reply.next_page_token = page[-1]
        yield reply

    def _list_collection_ids(self, request: Any) -> Iterator[Any]:
        check_parent(request.parent)
        ids = self.documents.collection_ids(request.parent)
        ids = [id_ for id_ in ids if id_.encode() > request.page_token.encode()]
        page = ids[: request.page_size or _PAGE]
        token = page[-1] if len(page) < len(ids) else ""
        yield ListCollectionIdsResponse.pb()(collection_ids=page, next_page_token=token)

    def _run_query(self, request: Any) -> Iterator[Any]:
        check_parent(request.parent)
        query = request.structured_query
        found = selected(self.documents, request.parent, query)
        transaction = self._note_query(request, query)
        read_time = self.documents.tick()
        replies = [RunQueryResponse.pb()() for _ in found.documents or [None]]
        for reply, document in zip(replies, found.documents, strict=False):
            reply.document.CopyFrom(shown(document, query))
        for reply in replies:
            reply.read_time.FromMicroseconds(read_time)
        replies[0].skipped_results = found.skipped
        if transaction and request.HasField("new_transaction"):
            replies[0].transaction = transaction
        replies[-1].done = True
        yield from replies

    def _run_aggregation(self, request: Any) -> Iterator[Any]:
        check_parent(request.parent)
        asked = request.structured_aggregation_query
        found = selected(self.documents, request.parent, asked.structured_query)
        transaction = self._note_query(request, asked.structured_query)
        reply = RunAggregationQueryResponse.pb()()
        for alias, value in aggregated(found.documents, asked.aggregations):
            reply.result.aggregate_fields[alias].CopyFrom(value)
        reply.read_time.FromMicroseconds(self.documents.tick())
        if transaction and request.HasField("new_transaction"):
            reply.transaction = transaction
        yield reply

    # Transactions

    def _begin(self, request: Any) -> Iterator[Any]:
        id_ = self._transactions.begin(request.options)
        yield BeginTransactionResponse.pb()(transaction=id_)

    def _rollback(self, request: Any) -> Iterator[Any]:
        self._transactions.end(request.transaction)
        yield Empty()

    def _transaction(self, request: Any) -> bytes:
        """Return the transaction that a read belongs to; empty: none."""
        kind = request.WhichOneof("consistency_selector")
        match kind:
            case None:
                return b""
            case "transaction":
                return bytes(request.transaction)
            case "new_transaction":
                return self._transactions.begin(request.new_transaction)
        return unknown(f"reads with {kind}")

    def _note(self, request: Any, names: Iterable[str]) -> bytes:
        transaction = self._transaction(request)
        if transaction:
            self._transactions.note(transaction, names)
        return transaction

    def _note_query(self, request: Any, query: Any) -> bytes:
        transaction = self._transaction(request)
        if transaction:
            source = query.from_[0]
            self._transactions.note_query(
                transaction, request.parent, source.collection_id, is_deep=source.all_descendants
            )
        return transaction

    # Writing

    def _commit(self, request: Any) -> Iterator[Any]:
        reply = CommitResponse.pb()()
        now = self._committed(request.writes, request.transaction, reply.write_results)
        reply.commit_time.FromMicroseconds(now)
        yield reply

    def _committed(self, writes: Sequence[Any], transaction: bytes, results: Any) -> int:
        """Do all writes or none; return the time of the commit in microseconds."""
        names = [name_of(write) for write in writes]
        if len(set(names)) < len(names):
            unknown("a commit that writes one document twice")
        self._transactions.wait_for(names, transaction)
        before = {name: self.documents.get(name) for name in names}
        now = self.documents.tick()
        try:
            for name, write in zip(names, writes, strict=True):
                precondition(self.documents.get(name), write)
                written(self.documents, write, now, results.add())
        except RefusedCall:
            for name, document in before.items():
                if document is None:
                    self.documents.delete(name)
                else:
                    self.documents.put(document)
            raise
        finally:
            if transaction:
                self._transactions.end(transaction)
        return now

    def _batch_write(self, request: Any) -> Iterator[Any]:
        names = [name_of(write) for write in request.writes]
        if len(set(names)) < len(names):
            invalid("A batch cannot write one document twice.")
        reply = BatchWriteResponse.pb()()
        for write in request.writes:
            result, status = reply.write_results.add(), reply.status.add()
            one = CommitResponse.pb()()
            try:
                self._committed([write], b"", one.write_results)
            except RefusedCall as refusal:
                status.code, status.message = refusal.code.value[0], refusal.details
            else:
                result.CopyFrom(one.write_results[0])
        yield reply

    def _create(self, request: Any) -> Iterator[Any]:
        if not request.document_id:
            unknown("CreateDocument without an id")
        write = Write.pb()(update=request.document)
        write.update.name = f"{request.parent}/{request.collection_id}/{request.document_id}"
        write.current_document.exists = False
        yield self._alone(write, request)

    def _update(self, request: Any) -> Iterator[Any]:
        write = Write.pb()(update=request.document, current_document=request.current_document)
        if request.HasField("update_mask"):
            write.update_mask.CopyFrom(request.update_mask)
        yield self._alone(write, request)

    def _alone(self, write: Any, request: Any) -> Any:
        self._committed([write], b"", CommitResponse.pb()().write_results)
        return _masked(self.documents.get(write.update.name), request)

    def _delete(self, request: Any) -> Iterator[Any]:
        write = Write.pb()(delete=request.name, current_document=request.current_document)
        self._committed([write], b"", CommitResponse.pb()().write_results)
        yield Empty()


def _masked(document: Any, request: Any) -> Any:
    if not request.HasField("mask"):
        return document
    return masked(document, map(field_path, request.mask.field_paths))


METHODS: dict[str, tuple[Any, Callable[[EmbeddedFirestore, Any], Iterator[Any]]]] = {
    "BatchGetDocuments": (BatchGetDocumentsRequest, EmbeddedFirestore._batch_get),  # noqa: SLF001
    "BatchWrite": (BatchWriteRequest, EmbeddedFirestore._batch_write),  # noqa: SLF001
    "BeginTransaction": (BeginTransactionRequest, EmbeddedFirestore._begin),  # noqa: SLF001
    "Commit": (CommitRequest, EmbeddedFirestore._commit),  # noqa: SLF001
    "CreateDocument": (CreateDocumentRequest, EmbeddedFirestore._create),  # noqa: SLF001
    "DeleteDocument": (DeleteDocumentRequest, EmbeddedFirestore._delete),  # noqa: SLF001
    "GetDocument": (GetDocumentRequest, EmbeddedFirestore._get),  # noqa: SLF001
    "ListCollectionIds": (ListCollectionIdsRequest, EmbeddedFirestore._list_collection_ids),  # noqa: SLF001
    "ListDocuments": (ListDocumentsRequest, EmbeddedFirestore._list_documents),  # noqa: SLF001
    "Rollback": (RollbackRequest, EmbeddedFirestore._rollback),  # noqa: SLF001
    "RunAggregationQuery": (RunAggregationQueryRequest, EmbeddedFirestore._run_aggregation),  # noqa: SLF001
    "RunQuery": (RunQueryRequest, EmbeddedFirestore._run_query),  # noqa: SLF001
    "UpdateDocument": (UpdateDocumentRequest, EmbeddedFirestore._update),  # noqa: SLF001
}
"""What it knows, by method: the type of the request, and the function that answers it."""
