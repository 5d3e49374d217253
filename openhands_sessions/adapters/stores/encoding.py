"""What every kind of store checks and encodes in the same way, before anything is written."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

from openhands_sessions.core.errors import BadInput, Conflict
from openhands_sessions.core.events.codec import Stored
from openhands_sessions.core.events.event import Json
from openhands_sessions.ports.store import ConversationRow, ImportProgress, Receipt, RowChanges

BATCH_ENTRIES = 500
BATCH_BYTES = 256 * 1024

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def sizes_of(entries: Sequence[Stored], *, expected: int, receipt: Receipt | None) -> list[int]:
    """Bytes of each entry's text as UTF-8. Raises ValueError where the ids do not follow `expected`, which is our
    own mistake, and BadInput for text that has no UTF-8 form."""
    sizes = []
    for number, entry in enumerate(entries, expected + 1):
        if entry.id != number:
            raise ValueError(f"entry {entry.id} has the place of {number}")
        size_of("kind", entry.kind)
        sizes.append(size_of("text", entry.text))
    if receipt is not None:
        size_of("key", receipt.key)
        size_of("digest", receipt.digest)
    return sizes


def size_of(field: str, text: str) -> int:
    """Bytes of a text as UTF-8. Raises BadInput for lone surrogates, which have no such form."""
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise BadInput(field, "must be text without lone surrogates") from None


def check_row(row: ConversationRow) -> None:
    """Raises BadInput for text that has no UTF-8 form."""
    check_texts({field.name: getattr(row, field.name) for field in fields(row)})
    if row.repository is not None:
        check_texts({field.name: getattr(row.repository, field.name) for field in fields(row.repository)})


def check_texts(values: Mapping[str, object]) -> None:
    """Raises BadInput where one of the values is text that has no UTF-8 form, naming it by its key."""
    for name, value in values.items():
        if isinstance(value, str):
            size_of(name, value)


def changed(row: ConversationRow, changes: RowChanges, if_version: int | None) -> ConversationRow:
    """The row after an update: its next version. Raises Conflict where it has another one than `if_version`."""
    if if_version not in (None, row.version):
        raise Conflict(if_version or 0, row.version, "the conversation's version")
    return replace(row, version=row.version + 1, **changes)


def json_text(value: Json) -> str:
    """ASCII JSON: it can hold every string of a user, lone surrogates too."""
    return json.dumps(value, separators=(",", ":"))


def settings_of(text: str) -> dict[str, Json]:
    value = json.loads(text)
    return value if isinstance(value, dict) else {}


def import_text(progress: ImportProgress) -> str:
    return json_text({"runs": progress.runs, "through": progress.through, "head": progress.head})


def import_of(text: str) -> ImportProgress:
    value = json.loads(text)
    return ImportProgress(runs=value["runs"], through=value["through"], head=value["head"])


def microseconds(moment: datetime) -> int:
    """An aware time as whole microseconds since 1970, UTC: exact, and sorted as numbers."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
