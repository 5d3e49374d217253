"""Commands that wait until the session takes them, each with a future for its answer."""

import asyncio
from collections import deque
from dataclasses import dataclass

from openhands_sessions.core.errors import NotAccepting, SessionsError
from openhands_sessions.ports.gateway import Accepted
from openhands_sessions.session.command_handler import SubmittedCommand

WAITING_COMMANDS = 64


@dataclass(frozen=True, slots=True)
class QueuedCommand:
    """One command. Its caller may have left."""

    given: SubmittedCommand
    answer: "asyncio.Future[Accepted]"

    def accept(self, accepted: Accepted) -> None:
        if not self.answer.done():
            self.answer.set_result(accepted)

    def refuse(self, error: SessionsError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class CommandQueue:
    """First in, first out; at most WAITING_COMMANDS."""

    def __init__(self) -> None:
        self._waiting: deque[QueuedCommand] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, given: SubmittedCommand) -> "asyncio.Future[Accepted]":
        """The future answer. Raises NotAccepting where too many wait."""
        if len(self._waiting) >= WAITING_COMMANDS:
            raise NotAccepting("too many commands wait in this session; send it again in a moment")
        answer: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self._waiting.append(QueuedCommand(given, answer))
        return answer

    def take(self) -> QueuedCommand:
        return self._waiting.popleft()

    def refuse(self, error: SessionsError) -> None:
        """Refuse all that wait."""
        while self._waiting:
            self.take().refuse(error)
