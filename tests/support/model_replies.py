"""What the model server answers: replies and faults, and their form on the OpenAI chat-completions wire."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from openhands_sessions.core.events.event import Source
from openhands_sessions.core.events.own import CallOutcome, CallPurpose, ModelCalledObservation

FIRST = 0


@dataclass(frozen=True, kw_only=True)
class Call:
    """A tool call. `arguments` as text go out as they are, malformed or not."""

    name: str
    arguments: Mapping[str, Any] | str
    id: str | None = None

    @property
    def text(self) -> str:
        return self.arguments if isinstance(self.arguments, str) else json.dumps(dict(self.arguments))


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """The usage that a reply reports."""

    prompt: int = 100
    completion: int = 20
    cached: int = 0


@dataclass(frozen=True, kw_only=True)
class Reply:
    """Text, tool calls, or both, streamed in pieces of `piece` characters, `delay` seconds apart. With a `gate` it
    waits for the gate to open after `gate_after` pieces. `finish` None leaves the finish reason out. With `counts`
    every chunk tells the usage, as some providers do on request."""

    text: str = ""
    calls: Sequence[Call] = ()
    piece: int = 12
    delay: float = 0.0
    gate: asyncio.Event | None = None
    gate_after: int = FIRST
    usage: Tokens | None = Tokens()
    finish: str | None = "auto"
    without_ids: bool = False
    counts: bool = False

    @property
    def finish_reason(self) -> str | None:
        if self.finish != "auto":
            return self.finish
        return "tool_calls" if self.calls else "stop"


class FaultKind(StrEnum):
    """How a request goes wrong."""

    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    NO_CREDITS = "no_credits"
    NO_QUOTA = "no_quota"
    RATE_LIMIT = "rate_limit"
    SERVER_ERROR = "server_error"
    UNAVAILABLE = "unavailable"
    CONTENT_POLICY = "content_policy"
    BAD_REQUEST = "bad_request"
    CUT = "cut"
    ENDS_EARLY = "ends_early"
    STREAM_ERROR = "stream_error"
    GARBAGE = "garbage"
    SILENCE = "silence"
    ENDLESS = "endless"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault. `retry_after` is the header in seconds; `message` replaces the provider's reason; `usage` is told by
    what goes out before a stream breaks."""

    kind: FaultKind
    retry_after: float | None = None
    message: str | None = None
    usage: Tokens | None = None


@dataclass(frozen=True)
class Tries:
    """What the first, second, … try of one and the same request gets; the last is repeated."""

    answers: Sequence[Reply | Fault]


Answer = Reply | Fault | Tries


def malformed_call(name: str = "execute_bash") -> Reply:
    """A tool call whose arguments are no JSON."""
    return Reply(calls=[Call(name=name, arguments='{"command": "ls')])


def non_object_call(name: str = "execute_bash") -> Reply:
    """A tool call whose arguments are JSON, but no object."""
    return Reply(calls=[Call(name=name, arguments='["ls"]')])


def unknown_tool() -> Reply:
    """A call of a tool that nobody has."""
    return Reply(calls=[Call(name="launch_rocket", arguments={"to": "the moon"})])


def stream_chunks(reply: Reply, *, id: str, model: str, include_usage: bool) -> Iterator[dict[str, Any]]:
    """The chunks of a streamed reply, as OpenAI sends them: role, text in pieces, each call's id and name and then
    its arguments in fragments, the finish reason, and the usage where it was asked for."""

    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        told = _envelope(id, model, [{"index": 0, "delta": dict(delta), "finish_reason": finish}])
        return told | {"usage": usage_wire(reply.usage)} if reply.counts and reply.usage else told

    yield chunk({"role": "assistant", "content": "" if reply.text else None})
    for piece in pieces(reply.text, reply.piece):
        yield chunk({"content": piece})
    for index, call in enumerate(reply.calls):
        named = {"name": call.name, "arguments": ""}
        begun = {"index": index, "type": "function", "function": named}
        yield chunk({"tool_calls": [begun if reply.without_ids else {**begun, "id": _call_id(call, id, index)}]})
        for piece in pieces(call.text, reply.piece):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    if reply.finish_reason is not None:
        yield chunk({}, reply.finish_reason)
    if include_usage and reply.usage is not None:
        yield _envelope(id, model, []) | {"usage": usage_wire(reply.usage)}


def whole_reply(reply: Reply, *, id: str, model: str) -> dict[str, Any]:
    """The body of a reply that is not streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.calls:
        message["tool_calls"] = [
            {
                "id": _call_id(call, id, index),
                "type": "function",
                "function": {"name": call.name, "arguments": call.text},
            }
            for index, call in enumerate(reply.calls)
        ]
    choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
    body = _envelope(id, model, [choice]) | {"object": "chat.completion"}
    return body if reply.usage is None else body | {"usage": usage_wire(reply.usage)}


def usage_wire(usage: Tokens) -> dict[str, Any]:
    """The `usage` object."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
    }


def pieces(text: str, size: int) -> Iterator[str]:
    """The text cut into pieces of `size` characters."""
    for start in range(0, len(text), size):
        yield text[start : start + size]


def _call_id(call: Call, id: str, index: int) -> str:
    return call.id or f"call_{id.removeprefix('chatcmpl-')}_{index}"


def _envelope(id: str, model: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": id, "object": "chat.completion.chunk", "created": 1_700_000_000, "model": model, "choices": choices}


def called(model: str, outcome: CallOutcome = CallOutcome.ANSWERED) -> ModelCalledObservation:
    """The record of a call of 7 and 3 tokens, a quarter of a dollar, 1.5 s."""
    return ModelCalledObservation(
        source=Source.ENVIRONMENT,
        purpose=CallPurpose.MAIN,
        model=model,
        outcome=outcome,
        prompt_tokens=7,
        completion_tokens=3,
        cache_read_tokens=2,
        micro_dollars=250_000,
        latency=1.5,
    )
