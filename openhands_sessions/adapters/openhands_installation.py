"""Reads the data folder of OpenHands 0.62: `sessions/{id}` and `users/{user}/conversations/{id}`."""

import asyncio
import json
import re
import stat
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.ids import conversation_id
from openhands_sessions.core.json_limits import storable
from openhands_sessions.ports.installation import (
    ForeignConversation,
    ForeignEvent,
    SkippedConversation,
    UnreadableConversation,
)

LARGEST_METADATA = 1 << 20
LARGEST_EVENT = 32 << 20
"""Bytes of a file that is read at all."""
BATCH_EVENTS = 200
BATCH_BYTES = 8 << 20
_EVENT = re.compile(r"(0|[1-9][0-9]{0,14})\.json")


class OpenHandsFolder:
    """An Installation. Files are read in a thread, one batch at a time. Links are followed where they stay inside."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def conversations(self) -> Sequence[ForeignConversation | SkippedConversation]:
        try:
            return await asyncio.to_thread(lambda: list(self._found()))
        except OSError as error:
            raise BadInput("FOLDER", f"cannot be read: {error.strerror}") from None

    async def metadata(self, theirs: ForeignConversation) -> Mapping[str, Any]:
        wire = await asyncio.to_thread(self._object, f"{theirs.place}/metadata.json", LARGEST_METADATA)
        return wire[0]

    async def newest(self, theirs: ForeignConversation) -> int:
        return max(await asyncio.to_thread(self._numbers, theirs), default=-1)

    async def events(self, theirs: ForeignConversation, after: int) -> AsyncIterator[Sequence[ForeignEvent]]:
        numbers = [number for number in await asyncio.to_thread(self._numbers, theirs) if number > after]
        place = 0
        while place < len(numbers):
            batch = await asyncio.to_thread(partial(self._batch, theirs, numbers[place : place + BATCH_EVENTS]))
            place += len(batch)
            yield batch

    def _found(self) -> Iterator[ForeignConversation | SkippedConversation]:
        root = self._root
        if not any((root / name).is_dir() for name in ("sessions", "users")):
            raise BadInput(
                "FOLDER", "has no folder `sessions` or `users`: name the one that OpenHands keeps its files in"
            )
        yield from self._below("sessions")
        for user in self._names("users"):
            where = f"users/{user}/conversations"
            if not user.startswith(".") and (root / where).is_dir():
                yield from self._below(where)
            else:
                yield SkippedConversation(f"users/{user}", "has no conversations")

    def _below(self, where: str) -> Iterator[ForeignConversation | SkippedConversation]:
        for name in self._names(where):
            place = f"{where}/{name}"
            why = self._strange(name, place)
            yield ForeignConversation(conversation_id(name), place) if why is None else SkippedConversation(place, why)

    def _strange(self, name: str, place: str) -> str | None:
        """Why this is not a conversation; None if it is one."""
        if name.startswith("."):
            return "is hidden"
        try:
            inside = self._inside(place)
            conversation_id(name)
        except UnreadableConversation as error:
            return str(error)
        except BadInput:
            return "has a name that no conversation can have"
        return None if inside.is_dir() else "is not a folder"

    def _names(self, where: str) -> list[str]:
        if not (self._root / where).is_dir():
            return []
        try:
            return sorted(path.name for path in self._inside(where).iterdir())
        except (OSError, UnreadableConversation):
            return []

    def _inside(self, place: str) -> Path:
        """The path without links. Raises Unreadable where that is outside."""
        try:
            path = (self._root / place).resolve(strict=True)
        except (OSError, RuntimeError) as error:
            missing = isinstance(error, FileNotFoundError)
            raise UnreadableConversation("is not there" if missing else "cannot be reached") from None
        if not path.is_relative_to(self._root.resolve()):
            raise UnreadableConversation("is a link that leads out of the folder")
        return path

    def _numbers(self, theirs: ForeignConversation) -> list[int]:
        place = f"{theirs.place}/events"
        try:
            if not (self._root / place).exists():
                return []
            names = [path.name for path in self._inside(place).iterdir()]
        except OSError as error:
            raise UnreadableConversation(f"its events cannot be read: {error.strerror}") from None
        return sorted(int(name[: -len(".json")]) for name in names if _EVENT.fullmatch(name))

    def _batch(self, theirs: ForeignConversation, numbers: Sequence[int]) -> Sequence[ForeignEvent]:
        batch: list[ForeignEvent] = []
        weight = 0
        for number in numbers:
            if weight > BATCH_BYTES:
                break
            try:
                wire, size = self._object(f"{theirs.place}/events/{number}.json", LARGEST_EVENT)
                batch.append(ForeignEvent(number, wire))
                weight += size
            except UnreadableConversation as error:
                batch.append(ForeignEvent(number, None, str(error)))
        return batch

    def _object(self, place: str, largest: int) -> tuple[Mapping[str, Any], int]:
        """A file's JSON object and its size in bytes. Raises Unreadable."""
        path = self._inside(place)
        try:
            about = path.stat()
            if not stat.S_ISREG(about.st_mode):
                raise UnreadableConversation("is not a file")
            if about.st_size > largest:
                raise UnreadableConversation(f"has more than {largest >> 20} MB")
            value = _parsed(path.read_bytes())
        except OSError as error:
            raise UnreadableConversation(f"cannot be read: {error.strerror}") from None
        except (ValueError, RecursionError):
            raise UnreadableConversation("is not JSON") from None
        if not isinstance(value, dict):
            raise UnreadableConversation("is not a JSON object")
        return value, about.st_size


def _parsed(content: bytes) -> Any:
    """What a file holds. Raises ValueError, RecursionError."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        # OpenHands writes with Python's json, which allows lone surrogates and infinite numbers.
        return storable(json.loads(content.decode(), parse_constant=lambda _: None))
