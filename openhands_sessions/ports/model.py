"""A language model, reached with a conversation and a list of tools."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal, Protocol, TypeAlias

from openhands_sessions.core.events.event import Json
from openhands_sessions.core.events.own import CallPurpose, PlannedCall
from openhands_sessions.core.ids import EventId
from openhands_sessions.core.money import MicroDollars

ChatMessage = Mapping[str, Json]
"""One message in the field's form: `role` (`system user assistant tool`), `content`, `tool_calls`, `tool_call_id`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRequest:
    """What a model is asked. Every tool call in `messages` has its result right behind it. `tools` are function
    schemas, `{"type": "function", "function": {name, description, parameters}}`."""

    messages: Sequence[ChatMessage]
    tools: Sequence[Mapping[str, Json]] = ()
    purpose: CallPurpose = CallPurpose.MAIN
    """What the reply is for; a model that plays a script has no part of it for titles and probes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Tokens and cost (None where the price is unknown) of one call, and how long it took (seconds). Prompt tokens
    include the cached ones."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost: MicroDollars | None = None
    latency: float = 0.0

    def plus(self, other: "Usage") -> "Usage":
        """Both together; the cost is that of those whose price is known."""
        sums = {one.name: (getattr(self, one.name) or 0) + (getattr(other, one.name) or 0) for one in fields(Usage)}
        return Usage(**sums | ({"cost": None} if self.cost is None and other.cost is None else {}))


FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter"]
"""How a provider says that its reply ended; `length`: it was cut at the output limit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestedCall(PlannedCall):
    """A call as it came from the model; `extra` is what the provider said beside it, to be given back as it is."""

    extra: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelReply:
    """What a model answered: text, tool calls, or both. `thoughts` is the readable part of its reasoning, `extra` what
    the provider said beside text and calls, by its fields: to be given back as it is to the same model."""

    id: str
    text: str
    calls: Sequence[PlannedCall] = ()
    usage: Usage = Usage()
    model: str = ""
    finish: FinishReason | None = None
    thoughts: str = ""
    extra: Mapping[str, Json] = field(default_factory=dict)
    answers: EventId | None = None
    """The newest message of the user that is taken up, where later ones still wait; None: all are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """A try failed and another follows after `wait` seconds."""

    attempt: int
    wait: float
    problem: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LostCall:
    """A try that ended without a reply, and as much of its usage as is known. `status` is that of the failure; None
    where it was cancelled."""

    status: str | None
    usage: Usage = Usage()


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSpec:
    """Which model a conversation uses, and how it is reached. `name` is litellm's, e.g. `openai/gpt-4o`."""

    name: str
    base_url: str | None = None
    api_key: str | None = None
    timeout: float = 600.0
    retries: int = 4
    max_output_tokens: int | None = None
    temperature: float | None = None


class ChatModel(Protocol):
    """One model, as one conversation uses it."""

    name: str
    vision: bool
    """Whether it is known to take images."""
    window: int | None
    """Tokens that it is known to read at most."""

    async def complete(
        self,
        request: ModelRequest,
        on_text: Callable[[str], None],
        on_retry: Callable[[Retry], None],
        on_thought: Callable[[str], None] = lambda text: None,
        on_lost: Callable[[LostCall], None] = lambda call: None,
    ) -> ModelReply:
        """Ask and return the whole reply; `on_text` gets each piece of its text as it streams, `on_thought` of its
        thoughts. A try after text was streamed begins it anew: `on_retry` is called first. Retries are bounded; there
        is a limit in wall-clock time. `on_lost` gets each try that ends without a reply, for what it has used; a model
        that knows nothing of that leaves it out.
        Being cancelled closes the stream within a second. Raises ModelFailure with the wire's status id."""

    def price(self, usage: Usage) -> MicroDollars | None:
        """What such a usage costs; None where the price is not known."""


class ChatModels(Protocol):
    """How models are opened: what a heavy library needs is loaded here, off the event loop, at the first call."""

    async def open(self, spec: ModelSpec) -> ChatModel:
        """Raises ModelFailure for an unknown or wrongly configured model."""
