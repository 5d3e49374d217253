"""The shell agent, which needs no model, and the choice between it and the other kinds."""

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import takewhile

import orjson

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.own import CallPurpose, PlannedCall
from openhands_sessions.core.ids import UNNUMBERED
from openhands_sessions.core.settings import SessionSettings, nearest
from openhands_sessions.ports.agent import Agent, AgentInput, Agents
from openhands_sessions.ports.call_ledger import CallLedger
from openhands_sessions.ports.model import ChatMessage, ModelReply, Retry

PROMPT = """\
No model is configured. The shell agent answers: it runs what follows `$ ` in a message as a command in the sandbox.
"""
COMMAND = re.compile(r"^\$ (.*)", re.MULTILINE | re.DOTALL)
CALL = "shell-message-"
"""Begins the id of a call, before the number of the message that it answers."""
OWN_CALL = re.compile(rf"{CALL}(\d+)")
DONE = "Done. What next?"
WELCOME = (
    "No model is configured, so I cannot think for you. I run what follows `$ ` in a message as a command in the"
    " sandbox: try `$ uname -a`. To talk to a model, set `llm.model` and its key in the configuration"
    " (OHS_LLM__MODEL and OHS_LLM__API_KEY)."
)


class ShellAgent:
    """Takes up one message after the other and runs what follows `$ `, so that the whole server can be tried without a
    model. Messages without a command that follow each other get one answer."""

    name = "ShellAgent"
    prompt = PROMPT
    model: str | None = None
    vision = True  # it ignores images
    window: int | None = None

    async def decide(
        self,
        briefing: AgentInput,
        on_text: Callable[[str], None],
        on_retry: Callable[[Retry], None],
        on_thought: Callable[[str], None] = lambda text: None,
    ) -> ModelReply:
        reached = _reached(briefing.messages)
        waiting = [message for message in briefing.unanswered if message.id > reached]
        without = list(takewhile(lambda message: command_of(message.content) is None, waiting))
        if without:
            return ModelReply(id=f"shell-{without[-1].id}", text=WELCOME, answers=without[-1].id)
        if not waiting:
            return ModelReply(id=f"shell-{len(briefing.messages)}", text=DONE)
        call = PlannedCall(
            id=f"{CALL}{waiting[0].id}",
            name="execute_bash",
            arguments=orjson.dumps({"command": command_of(waiting[0].content)}).decode(),
        )
        return ModelReply(id=call.id, text="", calls=[call], answers=waiting[0].id)

    async def summarize(
        self, messages: Sequence[ChatMessage], instruction: str, purpose: CallPurpose = CallPurpose.CONDENSE
    ) -> ModelReply | None:
        return None

    async def title(self, message: str) -> str | None:
        return None


class ShellAgents:
    """Opens a ShellAgent."""

    @asynccontextmanager
    async def open(self, settings: SessionSettings, ledger: CallLedger) -> AsyncIterator[Agent]:
        yield ShellAgent()


def command_of(text: str) -> str | None:
    """What follows the first `$ ` at the start of a line, up to the end of the text: a command may have several lines.
    None if no line starts so."""
    found = COMMAND.search(text)
    return found[1].strip() or None if found else None


def _reached(messages: Sequence[ChatMessage]) -> int:
    """The newest message whose command was begun: calls have the message's number in their id, and outlive a server."""
    calls = [call for message in messages if isinstance(said := message.get("tool_calls"), list) for call in said]
    ids = [str(call.get("id")) for call in calls if isinstance(call, dict)]
    return max((int(found[1]) for each in ids if (found := OWN_CALL.fullmatch(each))), default=UNNUMBERED)


class AgentChoice:
    """Chooses the kind that the settings name. Without a model, `default` means `shell`."""

    def __init__(self, kinds: Mapping[str, Agents]) -> None:
        self._kinds = kinds

    @asynccontextmanager
    async def open(self, settings: SessionSettings, ledger: CallLedger) -> AsyncIterator[Agent]:
        name = "shell" if settings.agent == "default" and settings.llm_model is None else settings.agent
        kind = self._kinds.get(name)
        if kind is None:
            raise BadInput("agent", f"{name!r} does not exist{nearest(name, self._kinds)}")
        async with kind.open(settings, ledger) as agent:
            yield agent
