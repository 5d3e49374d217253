"""The shell agent, which needs no model, and the choice between it and the other kinds."""

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import orjson

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.own import PlannedCall
from openhands_sessions.core.settings import SessionSettings, nearest
from openhands_sessions.ports.agent import Agent, AgentInput, Agents
from openhands_sessions.ports.model import ChatMessage, ModelReply, Retry

PROMPT = """\
No model is configured. The shell agent answers: it runs what follows `$ ` in a message as a command in the sandbox.
"""
COMMAND = re.compile(r"^\$ (.*)", re.MULTILINE | re.DOTALL)
WELCOME = (
    "No model is configured, so I cannot think for you. I run what follows `$ ` in a message as a command in the"
    " sandbox: try `$ uname -a`. To talk to a model, set `llm.model` and its key in the configuration"
    " (OHS_LLM__MODEL and OHS_LLM__API_KEY)."
)


class ShellAgent:
    """Runs what follows `$ ` in the last message, so that the whole server can be tried without a model."""

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
        reply_id = f"shell-{len(briefing.messages)}"
        last = briefing.messages[-1]
        if last.get("role") == "tool":
            return ModelReply(id=reply_id, text="Done. What next?")
        command = command_of(last)
        if command is None:
            return ModelReply(id=reply_id, text=WELCOME)
        arguments = orjson.dumps({"command": command}).decode()
        return ModelReply(
            id=reply_id, text="", calls=[PlannedCall(id=reply_id, name="execute_bash", arguments=arguments)]
        )

    async def summarize(self, messages: Sequence[ChatMessage], instruction: str) -> ModelReply | None:
        return None

    async def title(self, message: str) -> str | None:
        return None


class ShellAgents:
    """Opens a ShellAgent."""

    @asynccontextmanager
    async def open(self, settings: SessionSettings) -> AsyncIterator[Agent]:
        yield ShellAgent()


def command_of(message: ChatMessage) -> str | None:
    """The text after the first `$ ` at the start of a line, up to the end of the message: a command may have several
    lines. None if no line starts so."""
    content = message.get("content")
    if isinstance(content, list):
        content = next((part.get("text") for part in content if isinstance(part, dict) and "text" in part), "")
    found = COMMAND.search(content) if isinstance(content, str) else None
    return found[1].strip() or None if found else None


class AgentChoice:
    """Chooses the kind that the settings name. Without a model, `default` means `shell`."""

    def __init__(self, kinds: Mapping[str, Agents]) -> None:
        self._kinds = kinds

    @asynccontextmanager
    async def open(self, settings: SessionSettings) -> AsyncIterator[Agent]:
        name = "shell" if settings.agent == "default" and settings.llm_model is None else settings.agent
        kind = self._kinds.get(name)
        if kind is None:
            raise BadInput("agent", f"{name!r} does not exist{nearest(name, self._kinds)}")
        async with kind.open(settings) as agent:
            yield agent
