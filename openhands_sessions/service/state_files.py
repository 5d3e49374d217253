"""Values that are too large for an entry of a state: kept as files, and named by the entry."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from openhands_sessions.core.errors import DamagedRecord, NotFound, TooLarge
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import ConversationId, folder_name
from openhands_sessions.core.masking import SecretMasker
from openhands_sessions.core.state import BEGINNING, KeyedState, StateChange, StateOp, StateOperation, without_secrets
from openhands_sessions.core.state_values import LARGEST_VALUE
from openhands_sessions.ports.files import FileStore
from openhands_sessions.ports.state import StateScope
from openhands_sessions.service.settings import conversation_folder

LARGEST_FILE = 16 * 1024 * 1024
"""Bytes of one value as JSON text."""


@dataclass(frozen=True, slots=True)
class PlannedFiles:
    """A change whose large values are named by files, and the contents of these files, which must be written before
    it."""

    change: StateChange
    contents: Mapping[str, bytes] = field(repr=False)


class StateFiles:
    """The files of all states. A file is named by its content: it is never changed, and the entry of an earlier moment
    still has its own."""

    def __init__(self, files: FileStore) -> None:
        self._files = files

    async def keep(self, scope: StateScope, change: StateChange) -> StateChange:
        """The change with its large values kept as files. Raises TooLarge, StorageUnavailable."""
        plan = planned(change)
        await self.write(scope, plan)
        return plan.change

    async def write(self, scope: StateScope, plan: PlannedFiles) -> None:
        """Raises StorageUnavailable."""
        for file, content in plan.contents.items():
            await self._files.write(f"{_folder(scope)}/{file}", content)

    async def read(self, scope: StateScope, file: str) -> Json:
        """Raises DamagedRecord where it is gone, or not what was kept."""
        try:
            content = await self._files.read(f"{_folder(scope)}/{file}")
        except NotFound:
            content = b""
        if _name(content) != file:
            raise DamagedRecord.of(f"a large value in the state of this {scope.kind}", scope.name)
        value: Json = orjson.loads(content)
        return value

    async def begins(
        self, source: ConversationId, state: KeyedState, sid: ConversationId, masker: SecretMasker, **made: Any
    ) -> StateChange | None:
        """The change with which a copy `sid` of the conversation `source` has this state without secrets, and files of
        its own. `made` says who makes it, and when. None for an empty state. Raises DamagedRecord, TooLarge,
        StorageUnavailable."""
        operations = [
            StateOperation(
                StateOp.SET,
                key,
                entry.value if entry.file is None else await self.read(StateScope.session(source), entry.file),
            )
            for key, entry in state.entries.items()
        ]
        if not operations:
            return None
        change = StateChange(id=BEGINNING, operations=tuple(operations), **made)
        # In a thread: with its files a state may be large, and others must not feel it.
        masked = await asyncio.to_thread(without_secrets, change, masker)
        return await self.keep(StateScope.session(sid), masked)

    async def discard(self, sid: ConversationId) -> None:
        """Delete the files of a conversation that was not made. Raises StorageUnavailable."""
        await self._files.delete(_folder(StateScope.session(sid)))


def planned(change: StateChange) -> PlannedFiles:
    """Raises TooLarge."""
    contents: dict[str, bytes] = {}
    operations = tuple(_named(each, contents) for each in change.operations)
    return PlannedFiles(replace(change, operations=operations), contents)


def _named(operation: StateOperation, contents: dict[str, bytes]) -> StateOperation:
    if operation.op is not StateOp.SET:
        return operation
    content = orjson.dumps(operation.value)
    if len(content) <= LARGEST_VALUE:
        return operation
    if len(content) > LARGEST_FILE:
        raise TooLarge(
            f"{operation.key!r} would take {len(content):,} bytes, and a value may take {LARGEST_FILE:,}", LARGEST_FILE
        )
    file = _name(content)
    contents[file] = content
    return StateOperation(StateOp.SET, operation.key, file=file)


def _name(content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()}.json"


def _folder(scope: StateScope) -> str:
    """That of a session is deleted with its conversation."""
    if scope.kind == "session":
        return f"{conversation_folder(ConversationId(scope.name))}/state"
    return f"states/{scope.kind}/{folder_name(ConversationId(scope.name))}"
