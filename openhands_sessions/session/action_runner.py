"""Carries out one agreed action and records what came of it."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from openhands_sessions.core.errors import BadInput, NotAsked, RuntimeFailure, RuntimeUnavailable
from openhands_sessions.core.events.event import Action, Observation, Source
from openhands_sessions.core.events.observations import (
    NOT_RUN_ID,
    STOPPED_ID,
    TOOL_FAILED_ID,
    UNKNOWN_OUTCOME_ID,
    ErrorObservation,
)
from openhands_sessions.core.ids import ConversationId, action_key
from openhands_sessions.core.masking import MASK
from openhands_sessions.core.view import ConversationView
from openhands_sessions.ports.mcp import CallMcp, McpDone, McpTools
from openhands_sessions.ports.runtime import (
    CommandDone,
    EditDone,
    EditFile,
    Lost,
    Outcome,
    RunCell,
    RunCommand,
    Running,
    Runtime,
    Task,
    UnknownAction,
)
from openhands_sessions.ports.tool import Tool
from openhands_sessions.session.attachments import Attachments
from openhands_sessions.session.delta_coalescing import DeltaCoalescer
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.session_spans import SessionSpans
from openhands_sessions.session.tool_registry import ToolRegistry

UNKNOWN = "The outcome is unknown: the sandbox was lost while the action ran. It was not run again."
STOPPED = "The action was stopped by the user."
STOPPED_BEFORE = "Not run: the turn was stopped before the sandbox had heard of the action."
CALL_LOST = "The call was cut off by a restart."
NOT_CALLED_AGAIN = "The outcome is unknown; it was not called again."
MASKED = (
    f"Not run: it holds {MASK}, which stands for a secret's value that is shown and stored nowhere. Name the secret's"
    " variable instead, as in $NAME."
)
NO_TOOL = "Not run: there is no tool for this action here."
STOP_GRACE = 2.0
"""Seconds that a stop waits for the command's own outcome."""
_TRIES = 3
"""How often an action that runs is followed by one whose connection breaks."""


class SandboxLost(Exception):
    """The sandbox cannot be reached; `observation` says so, truthfully about the action."""

    def __init__(self, observation: Observation) -> None:
        super().__init__(observation.content)
        self.observation = observation


class ActionRunner:
    """The session's hands: one action at a time, each known to the executor by its key."""

    def __init__(
        self,
        sid: ConversationId,
        stream: EventStream,
        runtime: Runtime,
        toolbox: ToolRegistry,
        command_timeout: float,
        *,
        spans: SessionSpans,
        mcp: McpTools | None = None,
        vision: Callable[[], bool] = lambda: False,
    ) -> None:
        """`vision`: whether images of results can be shown to the agent, asked each time."""
        self._mcp = mcp
        self._attachments = Attachments(runtime.files, vision=vision)
        self._sid = sid
        self._stream = stream
        self._runtime = runtime
        self._tools = toolbox
        self._command_timeout = command_timeout
        self._spans = spans

    async def carry_out(self, action: Action, *, again: bool = False) -> Observation:
        """The observation, not yet stored, of an action that is in the log. `again`: the executor has heard of it.
        Raises SandboxLost."""
        return await self._spans.action(action, self._carry_out(action, again))

    async def _carry_out(self, action: Action, again: bool) -> Observation:
        tool = self._tools.of(action)
        if tool is None:
            return _answer(action, ErrorObservation(content=NO_TOOL, error_id=NOT_RUN_ID))
        task = tool.task(action)
        if task is not None and not again and self._stream.masker.hides_in(repr(task)):
            return _answer(action, ErrorObservation(content=MASKED, error_id=NOT_RUN_ID))
        outcome = None if task is None else await self._perform(action, self._with_limit(task), again)
        if isinstance(outcome, Observation):
            return _answer(action, outcome)
        observation = _observation(tool, action, outcome, self._stream.view)
        if isinstance(outcome, McpDone) and outcome.files:
            return await self._attachments.attach(observation, outcome.files, self._tools.call(action)[0])
        return observation

    async def recover(self, action: Action) -> Observation:
        """As `carry_out`, for an action that may have been begun: one that ran is not run again, one that runs is
        adopted, and one whose sandbox is lost has an unknown outcome. Raises SandboxLost."""
        tool = self._tools.of(action)
        task = None if tool is None else tool.task(action)
        if isinstance(task, CallMcp) and not self._repeatable(task):
            return _answer(action, _unknown_call(CALL_LOST))
        if task is None or isinstance(task, CallMcp):
            return await self.carry_out(action)
        try:
            known = await self._runtime.inquire(action_key(self._sid, action.id))
        except RuntimeUnavailable as error:
            raise SandboxLost(_answer(action, _unknown(error.message))) from error
        if isinstance(known, Lost):
            return _answer(action, _unknown())
        return await self.carry_out(action, again=not isinstance(known, UnknownAction))

    async def end_left_running(self) -> None:
        """End the command that runs on behind its observation, if there is one. Bounded by STOP_GRACE."""
        left = self._stream.view.sandbox.left_running
        if left is not None:
            with suppress(RuntimeFailure, TimeoutError):
                async with asyncio.timeout(STOP_GRACE):
                    await self._runtime.interrupt(action_key(self._sid, left))

    async def abandon(self, action: Action) -> Observation:
        """End an open action for a stop; the observation says how far it came. Bounded by STOP_GRACE."""
        tool = self._tools.of(action)
        task = None if tool is None else tool.task(action)
        if tool is None or task is None:
            return _answer(action, ErrorObservation(content=STOPPED, error_id=STOPPED_ID))
        if isinstance(task, CallMcp):
            return _answer(action, _unknown_call(STOPPED))
        key = action_key(self._sid, action.id)
        try:
            async with asyncio.timeout(STOP_GRACE):
                await self._runtime.interrupt(key)
                known = await self._runtime.inquire(key)
                if isinstance(known, Running):
                    known = await self._runtime.perform(key, task, lambda text: None)  # it is in the outcome, too
        except (RuntimeFailure, TimeoutError):
            known = Lost()
        match known:
            case CommandDone() | EditDone():
                return _observation(tool, action, known, self._stream.view)
            case UnknownAction():
                return _answer(action, ErrorObservation(content=STOPPED_BEFORE, error_id=NOT_RUN_ID))
            case _:
                return _answer(action, _unknown(STOPPED))

    def _repeatable(self, call: CallMcp) -> bool:
        functions = () if self._mcp is None else self._mcp.functions
        return any(each.name == call.name and each.idempotent for each in functions)

    async def _call(self, call: CallMcp) -> Outcome | Observation:
        if self._mcp is None:
            return ErrorObservation(content=NO_TOOL, error_id=NOT_RUN_ID)
        done = await self._mcp.call(call)
        return _unknown_call(done.text) if done.unknown else done

    def _with_limit(self, task: Task | CallMcp) -> Task | CallMcp:
        if isinstance(task, RunCommand | RunCell | CallMcp) and task.timeout is None:
            return replace(task, timeout=self._command_timeout)
        return task

    async def _perform(self, action: Action, task: Task | CallMcp, again: bool) -> Outcome | Observation:
        if isinstance(task, CallMcp):
            return await self._call(replace(task, key=action_key(self._sid, action.id)))
        key = action_key(self._sid, action.id)
        # One that is adopted sends its output from the beginning: how much of it was received is unknown.
        writer = DeltaCoalescer(
            self._stream.publish_transient, "output", str(action.id), self._stream.masker, anew=again
        )
        fresh = not again
        try:
            for _ in range(_TRIES):
                try:
                    return await self._runtime.perform(key, task, writer.write)
                except RuntimeUnavailable as error:
                    known = UnknownAction() if fresh and isinstance(error, NotAsked) else await self._known(key)
                    if not isinstance(known, Running):
                        return self._without_sandbox(action, known, error)
                    fresh = False
                    writer.restart()
            return _unknown()
        except (RuntimeFailure, BadInput) as error:
            return ErrorObservation(content=error.message, error_id=TOOL_FAILED_ID)
        finally:
            writer.close()

    async def _known(self, key: str) -> Outcome | Running | UnknownAction | Lost:
        try:
            return await self._runtime.inquire(key)
        except RuntimeUnavailable:
            return Lost()

    def _without_sandbox(
        self, action: Action, known: Outcome | UnknownAction | Lost, error: RuntimeUnavailable
    ) -> Outcome | Observation:
        if isinstance(known, CommandDone | EditDone):
            return known
        if not isinstance(known, UnknownAction):
            return _unknown()
        content = f"Not run: {error.message}"
        raise SandboxLost(_answer(action, ErrorObservation(content=content, error_id=NOT_RUN_ID))) from error


def _observation(tool: Tool, action: Action, outcome: Outcome | None, view: ConversationView) -> Observation:
    if isinstance(outcome, CommandDone) and isinstance(tool.task(action), EditFile):
        # So an executor answers for any key that was interrupted before it had heard of it.
        return _answer(action, ErrorObservation(content=STOPPED_BEFORE, error_id=NOT_RUN_ID))
    observation = tool.observe(action, outcome, view)
    return _answer(action, observation or ErrorObservation(content=NO_TOOL, error_id=NOT_RUN_ID))


def _unknown(why: str = "") -> Observation:
    return ErrorObservation(content=f"{why} {UNKNOWN}".lstrip(), error_id=UNKNOWN_OUTCOME_ID)


def _unknown_call(why: str) -> Observation:
    return ErrorObservation(content=f"{why} {NOT_CALLED_AGAIN}", error_id=UNKNOWN_OUTCOME_ID)


def _answer(action: Action, observation: Observation) -> Observation:
    """The observation as the action's: its cause and call, without the arguments said twice."""
    call = action.tool_call_metadata
    said = None if call is None else replace(call, arguments="")
    return replace(observation, cause=action.id, source=Source.AGENT, tool_call_metadata=said)
