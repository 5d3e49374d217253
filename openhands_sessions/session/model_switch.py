"""Has another model answer in a conversation, between two turns."""

import asyncio
from collections.abc import Awaitable, Callable

from openhands_sessions.core.commands import SetModel
from openhands_sessions.core.errors import BadInput, ModelFailure, NotAccepting
from openhands_sessions.core.events.event import Source
from openhands_sessions.core.events.own import ModelChangedAction
from openhands_sessions.ports.gateway import Accepted
from openhands_sessions.session.command_handler import SubmittedCommand
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.history_moves import HistoryMoves
from openhands_sessions.session.idempotency import earlier_answer, receipt_of
from openhands_sessions.session.switchable_agent import AgentOpening, OpenedAgent, SwitchableAgent

PENDING = "an action awaits your answer: answer it, or stop the turn, first"
NO_MODEL = "cannot be chosen: this conversation has an agent without a model"
WITHIN = 30.0
"""Seconds in which a model must be opened."""


class ModelSwitch:
    """One session's. It is refused while a turn runs, is owed, or waits for an answer: a turn has one model."""

    def __init__(self, stream: EventStream, agent: SwitchableAgent, moves: HistoryMoves) -> None:
        self._stream = stream
        self._agent = agent
        self._moves = moves

    async def take(self, given: SubmittedCommand, command: SetModel) -> Accepted:
        """Durable when it returns, and in use. Raises NotAccepting, BadInput, StorageError."""
        if (before := await earlier_answer(self._stream, given.key)) is not None:
            return before
        if self._agent.model is None:
            raise BadInput("model", NO_MODEL)
        await self._moves.rest()
        if self._stream.view.pending is not None:
            raise NotAccepting(PENDING)
        opened = await _checked(command.model, self._agent.another)
        try:
            numbered = await _record(self._stream, given, command.model, self._agent.model)
        except BaseException:
            await opened.stack.aclose()
            raise
        await self._agent.use(opened)
        return numbered


async def record_switch(
    stream: EventStream, opening: AgentOpening, given: SubmittedCommand, command: SetModel
) -> Accepted:
    """The user chooses another model for a conversation whose session has failed, perhaps because of the one that it
    has: the next session opens it. Call it where the log is known. Raises NotAccepting, BadInput, StorageError."""
    if (before := await earlier_answer(stream, given.key)) is not None:
        return before
    former = stream.view.model or opening.settings_of(None).llm_model
    if former is None:
        raise BadInput("model", NO_MODEL)
    opened = await _checked(command.model, opening.open)
    await opened.stack.aclose()
    return await _record(stream, given, command.model, former)


async def _record(stream: EventStream, given: SubmittedCommand, model: str, former: str | None) -> Accepted:
    changed = ModelChangedAction(source=Source.USER, author=given.author, model=model, former=former)
    [numbered] = await stream.append(changed, receipt=receipt_of(given.key))
    return Accepted(numbered.id, numbered.turn)


async def _checked(model: str, another: Callable[[str], Awaitable[OpenedAgent]]) -> OpenedAgent:
    """An agent with this model. Raises BadInput that says why there is none, NotAccepting."""
    if not model.strip():
        raise BadInput("model", "must be a model's name")
    try:
        async with asyncio.timeout(WITHIN):
            return await another(model)
    except BadInput as error:
        raise BadInput("model", error.message.removeprefix(f"{error.field} ")) from error
    except ModelFailure as failure:
        raise BadInput("model", f"cannot be used: {failure.message}") from failure
    except TimeoutError:
        raise NotAccepting(f"the model could not be opened within {WITHIN:.0f} s; send it again") from None
