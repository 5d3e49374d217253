"""The default agent: a language model with tools."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from openhands_sessions.adapters.agents import prompts
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.ports.agent import Agent, AgentInput
from openhands_sessions.ports.model import (
    ChatMessage,
    ChatModel,
    ChatModels,
    ModelReply,
    ModelRequest,
    ModelSpec,
    Retry,
)

MOST_OF_A_MESSAGE = 4_000
"""Characters of a message that a title is made from."""
NOT_SHOWN = "[An image was here. This model cannot look at images.]"


class ModelAgent:
    """Asks one model, and takes its answer for its own."""

    name = "ModelAgent"
    prompt = prompts.ASSISTANT

    def __init__(self, model: ChatModel) -> None:
        self._model = model
        self.model: str | None = model.name
        self.vision = model.vision

    async def decide(
        self, briefing: AgentInput, on_text: Callable[[str], None], on_retry: Callable[[Retry], None]
    ) -> ModelReply:
        messages = briefing.messages if self.vision else [_without_images(message) for message in briefing.messages]
        request = ModelRequest(messages=messages, tools=briefing.tools)
        return await self._model.complete(request, on_text, on_retry)

    async def summarize(self, messages: Sequence[ChatMessage], instruction: str) -> ModelReply | None:
        request = ModelRequest(messages=[*messages, {"role": "user", "content": instruction}])
        return await self._model.complete(request, lambda text: None, lambda retry: None)

    async def title(self, message: str) -> str | None:
        told: Sequence[ChatMessage] = [
            {"role": "system", "content": prompts.TITLE},
            {"role": "user", "content": message[:MOST_OF_A_MESSAGE]},
        ]
        request = ModelRequest(messages=told, purpose="title")
        reply = await self._model.complete(request, lambda text: None, lambda retry: None)
        return reply.text or None


def _without_images(message: ChatMessage) -> ChatMessage:
    """For a model that would refuse the whole dialogue because of an image from before it was chosen."""
    content = message.get("content")
    if not isinstance(content, list):
        return message
    parts: list[Json] = [part if _is_text(part) else {"type": "text", "text": NOT_SHOWN} for part in content]
    return {**message, "content": parts}


def _is_text(part: Json) -> bool:
    return isinstance(part, dict) and part.get("type") == "text"


class ModelAgents:
    """Opens one with the model that the settings name."""

    def __init__(self, models: ChatModels) -> None:
        self._models = models

    @asynccontextmanager
    async def open(self, settings: SessionSettings) -> AsyncIterator[Agent]:
        if settings.llm_model is None:
            raise BadInput("llm_model", "is not set; name a model in the settings or under [llm] in the configuration")
        key = settings.llm_api_key
        spec = ModelSpec(
            name=settings.llm_model,
            base_url=settings.llm_base_url,
            api_key=None if key is None else key.get_secret_value(),
            timeout=settings.llm_timeout,
            retries=settings.llm_retries,
        )
        yield ModelAgent(await self._models.open(spec))
