"""The agent without a model: it runs what follows `$ ` in a message, and so shows the whole machinery with no key."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import orjson

from openhands_sessions.adapters.agents import prompts
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.ports.agent import Agent, AgentInput
from openhands_sessions.ports.model import ChatMessage, ModelReply, RequestedCall, Retry

SIGN = "$ "
WELCOME = (
    "No model is configured, so I cannot think for you. I run what follows `$ ` in a message as a command in the"
    " sandbox: try `$ uname -a`. To talk to a model, set `llm.model` and its key in the configuration"
    " (OHS_LLM__MODEL and OHS_LLM__API_KEY)."
)


class ShellAgent:
    """Decides by the last message alone."""

    name = "ShellAgent"
    prompt = prompts.SHELL
    model: str | None = None
    vision = True  # it answers every message that it cannot think, with images or without

    async def decide(
        self, briefing: AgentInput, on_text: Callable[[str], None], on_retry: Callable[[Retry], None]
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
            id=reply_id, text="", calls=[RequestedCall(id=reply_id, name="execute_bash", arguments=arguments)]
        )

    async def summarize(self, messages: Sequence[ChatMessage], instruction: str) -> ModelReply | None:
        return None

    async def title(self, message: str) -> str | None:
        return None


class ShellAgents:
    """Opens one; needs nothing."""

    @asynccontextmanager
    async def open(self, settings: SessionSettings) -> AsyncIterator[Agent]:
        yield ShellAgent()


def command_of(message: ChatMessage) -> str | None:
    """What follows the first `$ ` at the beginning of a line; to the end of the message, so that a command may have
    several lines. None where there is none."""
    content = message.get("content")
    if isinstance(content, list):
        content = next((part.get("text") for part in content if isinstance(part, dict) and "text" in part), "")
    text = content if isinstance(content, str) else ""
    lines = text.split("\n")
    for place, line in enumerate(lines):
        if line.startswith(SIGN):
            return "\n".join([line[len(SIGN) :], *lines[place + 1 :]]).strip() or None
    return None
