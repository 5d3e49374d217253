"""A program's session as a file, and its dialogue in other forms."""

import asyncio
import warnings
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from openhands_sessions.bootstrap.library import LoadedLog, RestoreOutcome, read_session_file, write_session_file
from openhands_sessions.core.dialogue import dialogue
from openhands_sessions.core.errors import BadInput, DamagedRecord, NotFound
from openhands_sessions.core.events.codec import Stored, decode, timestamp_text
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.lineage import between
from openhands_sessions.core.session_file import SessionFile, file_lines, read_file
from openhands_sessions.ports.conversations import EventRange
from openhands_sessions.ports.gateway import SessionInfo
from openhands_sessions.ports.program import PROGRAM
from openhands_sessions.sdk.agent import Agent
from openhands_sessions.sdk.opening import ExportFormat
from openhands_sessions.sdk.program_conversation import PAGE, ProgramConversation
from openhands_sessions.sdk.session_ids import session_id
from openhands_sessions.sdk.stored_state import StoredState

_AGENT = ("name", "instructions", "llm", "max_iterations", "sandbox")
"""What of an agent is in a file: neither keys nor code."""


class SessionFiles:
    """Of one conversation."""

    def __init__(self, conversation: ProgramConversation) -> None:
        self._conversation = conversation

    async def save(self, path: Path, key: str | None) -> None:
        """Write all that was said and done to a file, and the state as it is then."""
        info, opening = await self._info(), self._conversation.opening
        head: dict[str, Json] = {
            "session": opening.name,
            "created_at": timestamp_text(info.created_at),
            "agent": {name: getattr(opening.agent, name) for name in _AGENT},
        }
        entries = await self._entries()
        state = await StoredState(self._conversation.library, self._conversation, "session").read()
        file = SessionFile(head=head, entries=entries, state=state.values if state.revision else None)
        await asyncio.to_thread(lambda: write_session_file(path, b"".join(file_lines(file)), key))

    async def take_in(self, file: SessionFile) -> None:
        """Take what a file holds into the store. Warns where the session has gone on in another way there."""
        conversation = self._conversation
        await conversation.info()  # it may be a server's
        loaded = LoadedLog(
            id=conversation.sid,
            owner=conversation.owner,
            title=conversation.opening.name,
            trigger=PROGRAM,
            created_at=_moment(file.head),
            entries=file.entries,
            state=file.state,
            cut=file.cut,
        )
        outcome, branch = await conversation.library.take_in(loaded)
        if outcome is RestoreOutcome.BRANCHED:
            told = (
                f"session {loaded.title!r} has gone on since the file was saved: what the file has is branch {branch!r}"
            )
            warnings.warn(told, stacklevel=2)

    async def export(self, form: ExportFormat) -> str:
        """The visible dialogue in this form; `json` and `jsonl` have the events."""
        match form:
            case "json":
                conversations, sid = self._conversation.access.conversations, self._conversation.sid
                await self._info()
                return b"".join([piece async for piece in conversations.export(sid)]).decode()
            case "jsonl":
                return "".join(f"{entry.text}\n" for entry in await self._visible())
            case "openai":
                events = [decode(entry.text, entry.schema) for entry in await self._visible()]
                return orjson.dumps({"messages": list(dialogue(events))}, option=orjson.OPT_INDENT_2).decode()
            case "markdown":
                return _markdown(self._conversation.opening.name, await self._conversation.history(None, -1, None))
        raise BadInput("format", 'must be "jsonl", "json", "markdown" or "openai"')

    async def _info(self) -> SessionInfo:
        info = await self._conversation.info()
        if info is None:
            raise NotFound("session", self._conversation.opening.name)
        return info

    async def _entries(self) -> list[Stored]:
        """The whole log. Raises DamagedRecord: a file must not hold what is not sound."""
        found: list[Stored] = []
        more = True
        while more:
            wanted = EventRange(start=len(found), limit=PAGE)
            entries, more = await self._conversation.access.conversations.events(self._conversation.sid, wanted)
            for entry in entries:
                if entry.id != len(found) or type(entry) is not Stored:
                    raise DamagedRecord.of_events(self._conversation.sid, len(found), entry.id)
                found.append(entry)
        return found

    async def _visible(self) -> Sequence[Stored]:
        await self._info()
        chain = (await self._conversation.access.conversations.history(self._conversation.sid, limit=0)).chain
        entries = await self._entries()
        return [entry for first, last in between(chain, -1, len(entries)) for entry in entries[first : last + 1]]


async def read_session(path: Path, key: str | None, *, recover: bool) -> tuple[str, Agent, SessionFile]:
    """The id, the agent, without tools, and what else a file holds. Raises NotFound, CorruptSession, UnsafeFormat."""
    content = await asyncio.to_thread(read_session_file, path, key)
    file = await asyncio.to_thread(read_file, content, recover=recover)
    given = file.head.get("agent")
    known: dict[str, Any] = {}
    for name in _AGENT:
        value = given.get(name) if isinstance(given, dict) else None
        if (type(value) in (str, bool, int) and type(value) is type(getattr(_DEFAULTS, name))) or (
            name == "llm" and isinstance(value, str)
        ):
            known[name] = value
    return session_id(file.head.get("session")), Agent(**known), file


_DEFAULTS = Agent()


def _moment(head: Mapping[str, Json]) -> datetime:
    """Raises BadInput."""
    try:
        moment = datetime.fromisoformat(str(head.get("created_at")))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise BadInput("created_at", "of the session file must be a time with a zone")
    return moment


def _markdown(name: str, messages: Sequence[Mapping[str, Any]]) -> str:
    parts = [f"# {name}"]
    for message in messages:
        parts.append(f"**{message['agent'] or 'user'}** ({message['timestamp']})\n\n{message['content']}")
    return "\n\n".join(parts) + "\n"
