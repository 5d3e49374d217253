"""`sessions ls --all` and `sessions stop`: what operators see of a running server, and do to it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from openhands_sessions.bootstrap import application as bootstrap
from openhands_sessions.cli.keys import key_for, url_of
from openhands_sessions.cli.output import clean, columns, print_json
from openhands_sessions.cli.settings import loaded
from openhands_sessions.core.errors import BadInput, NotFound
from openhands_sessions.core.events.codec import timestamp_text
from openhands_sessions.core.ids import ConversationId, conversation_id
from openhands_sessions.ports.operations import OperatorAccess, SessionStatus

T = TypeVar("T")
HEADER = ("conversation", "owner", "state", "agent", "events", "followers", "cost")


class OperatedServer:
    """A running server: `server`, or the one at the configured address. Raises ConfigError."""

    def __init__(self, flags: Mapping[str, object], file: Path | None, server: str | None) -> None:
        self._config = loaded(flags, file, quiet=True).config
        self._url = (server or url_of(self._config, self._config.server.port)).rstrip("/")

    def ask(self, question: Callable[[OperatorAccess], Awaitable[T]]) -> T:
        """Connect for one question. Raises SessionsError."""
        with key_for(self._url, self._config) as key:
            return asyncio.run(self._ask(key, question))

    async def _ask(self, key: str | None, question: Callable[[OperatorAccess], Awaitable[T]]) -> T:
        async with bootstrap.operator(self._url, key) as operator:
            return await question(operator)


def ls(target: OperatedServer, *, as_json: bool) -> int:
    """Print the live sessions of all users."""
    found = target.ask(_sessions)
    if as_json:
        print_json([{**asdict(each), "at": timestamp_text(each.at)} for each in found])
    else:
        print(columns(HEADER, [_row(each) for each in found]))
    return 0


def stop(target: OperatedServer, sid: str, *, close: bool) -> int:
    """End the turn of a live session, or the session."""
    given = conversation_id(sid)

    async def end(operator: OperatorAccess) -> str:
        found = _find(operator.sessions, given)
        if close:
            await operator.close_session(found)
            return f"closed {found}"
        accepted = await operator.stop_turn(found)
        return f"no turn runs in {found}" if accepted.turn is None else f"stopped turn {accepted.turn} of {found}"

    print(target.ask(end))
    return 0


async def _sessions(operator: OperatorAccess) -> Sequence[SessionStatus]:
    return operator.sessions


def _find(sessions: Sequence[SessionStatus], given: ConversationId) -> ConversationId:
    """Raises NotFound, BadInput where the beginning of an id names several."""
    found = [each.conversation_id for each in sessions if each.conversation_id.startswith(given)]
    if given in found:
        return given
    if not found:
        raise NotFound("live session", given)
    if len(found) > 1:
        raise BadInput("the id", f"{given!r} begins more than one live session's; give more of it")
    return found[0]


def _row(each: SessionStatus) -> tuple[str, ...]:
    numbers = (str(each.head + 1), str(each.followers), f"{each.cost:.2f}")
    return (each.conversation_id, clean(each.owner), each.state.value.lower(), each.agent_state.value, *numbers)
