"""Streams as model providers send them, by chance: odd, but each with a known meaning, which `StreamPlan` tells."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from aiohttp import web

WORDS = (
    "alpha",
    "bet\u00e4",
    "\U0001f600",
    "\U0001f469\u200d\U0001f4bb",
    "\u4e2d\u6587",
    "a\\b",
    '"q"',
    "line\nbreak",
    "e\u0301",
    " ",
)
_FINISH = ("stop", "end_turn", "eos", "stop", "tool_calls")
_THOUGHTS = ("reasoning_content", "reasoning", "thinking")
ERRORS: Mapping[str, Any] = {
    "openai": lambda words, code: {"error": {"message": words, "type": "server_error", "code": code}},
    "vllm": lambda words, code: {"object": "error", "message": words, "type": "InternalServerError", "code": code},
    "openrouter": lambda words, code: {
        "id": "g",
        "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
        "error": {"code": code, "message": words},
    },
    "anthropic": lambda words, code: {"type": "error", "error": {"type": "overloaded_error", "message": words}},
    "gemini": lambda words, code: [{"error": {"code": code, "message": words, "status": "UNAVAILABLE"}}],
    "fastapi": lambda words, code: {"detail": words},
    "ollama": lambda words, code: {"error": words},
    "mistral": lambda words, code: {"object": "error", "message": words, "type": "service_unavailable", "code": code},
    "dashscope": lambda words, code: {"code": str(code), "message": words, "request_id": "r"},
    "plain": lambda words, code: words,
    "event": lambda words, code: {"message": words},
    "text line": lambda words, code: words,
}
"""How providers say in a stream that they failed, by whose form it is."""


@dataclass(kw_only=True)
class StreamPlan:
    """One answer of a provider, and what it means."""

    text: str = ""
    thoughts: str = ""
    calls: Sequence[tuple[str, str]] = ()
    """Name and arguments of each call."""
    finish: str = "stop"
    """In a provider's words; empty: the stream ends without one."""
    error: str = ""
    """The provider's words for its failure, which cuts the reply."""
    aborted: bool = False
    pieces: Sequence[bytes] = field(default=(), repr=False)
    """The bytes as they are written."""

    @property
    def cut(self) -> bool:
        """Whether the reply is not whole, so that nothing of it counts."""
        return bool(self.error) or self.aborted or not self.finish

    @property
    def empty(self) -> bool:
        return not self.calls and not self.text.strip()


def random_plan(random: Random, number: int) -> StreamPlan:
    """The plan with this number; numbers make what it says distinct."""
    plan = StreamPlan(
        text=_text(random, number) if random.random() < 0.7 else "",
        thoughts=_text(random, number) if random.random() < 0.4 else "",
        calls=[_call(random, number, place) for place in range(random.choice((0, 0, 1, 1, 2, 3)))],
        finish=random.choice((*_FINISH, *_FINISH, "length", "content_filter", "")),
    )
    trouble = random.random()
    if trouble < 0.25:
        plan.error = f"trouble number {number}"
    elif trouble < 0.35:
        plan.aborted = True
    plan.pieces = list(_torn(random, "".join(_frames(random, plan)).encode()))
    return plan


def good_plan(text: str) -> StreamPlan:
    """A plain answer."""
    plan = StreamPlan(text=text)
    lines = [_chunk({"content": text}), _chunk({}, finish="stop"), "data: [DONE]\n\n"]
    plan.pieces = ["".join(lines).encode()]
    return plan


def _text(random: Random, number: int) -> str:
    return f"{number} " + " ".join(random.choices(WORDS, k=random.randint(1, 6))) + "."


def _call(random: Random, number: int, place: int) -> tuple[str, str]:
    command = {"command": f"echo {number}.{place} {random.choice(WORDS).strip()}"}
    name, arguments = random.choice(
        (
            ("execute_bash", json.dumps(command, ensure_ascii=random.random() < 0.5)),
            ("execute_bash", json.dumps(command, indent=1)),
            ("think", json.dumps({"thought": f"{number}.{place} \U0001f600"})),
            ("no_such_tool", json.dumps({"number": number})),
            ("execute_bash", random.choice(("", " ", "{}", f'{{"command": "cut {number}', "[1]", "null"))),
        )
    )
    return name, arguments


def _frames(random: Random, plan: StreamPlan) -> Iterator[str]:
    """The frames of a plan, in order, up to where it is cut."""
    deltas = list(_deltas(random, plan))
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    where = random.choice(("none", "last", "own", "all"))
    end = "\r\n\r\n" if random.random() < 0.2 else "\n\n"
    shown = random.randint(0, len(deltas)) if plan.error or plan.aborted else len(deltas)
    for choice, delta in deltas[:shown]:
        if random.random() < 0.1:
            yield f": ping{end}"
        yield _chunk(delta, choice=choice, usage=usage if where == "all" else None, end=end)
    if plan.aborted:
        return
    if plan.error:
        yield from _error(random, plan.error, begun=shown > 0, end=end)
        return
    if plan.finish:
        yield _chunk({}, finish=plan.finish, usage=usage if where == "last" else None, end=end)
        if where == "own":
            yield _chunk(None, usage=usage, end=end)
        if random.random() < 0.8:
            yield f"data: [DONE]{end}"


def _deltas(random: Random, plan: StreamPlan) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Pieces of a reply with the number of their choice."""
    field_name = random.choice(_THOUGHTS)
    yield 0, {"role": "assistant", "content": random.choice((None, ""))}
    for piece in _cut(random, plan.thoughts):
        yield 0, {field_name: piece}
    if plan.thoughts and random.random() < 0.3:
        yield 0, {"thinking_blocks": [{"type": "thinking", "thinking": plan.thoughts, "signature": "c2ln"}]}
    for piece in _cut(random, plan.text):
        yield 0, {"content": piece}
    choice = random.choice((0, 0, 1))
    numbered = random.choice(("right", "right", "zero"))
    ids = random.choice(("own", "own", "same", "missing"))
    if numbered == "zero" or ids == "same":
        ids = "own" if numbered == "zero" else ids  # else nothing tells the calls apart
    for place, (name, arguments) in enumerate(plan.calls):
        index = place if numbered == "right" else 0
        key = {"own": f"call_{random.randrange(10**9)}", "same": "call_0", "missing": None}[ids]
        first, *rest = list(_cut(random, arguments)) or [""]
        head: dict[str, Any] = {"index": index, "type": "function", "function": {"name": name, "arguments": first}}
        yield choice, {"tool_calls": [head if key is None else {**head, "id": key}]}
        for piece in rest:
            yield choice, {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _error(random: Random, words: str, *, begun: bool, end: str) -> Iterator[str]:
    kinds = [kind for kind in ERRORS if begun or kind not in ("fastapi", "dashscope", "text line")]
    kind = random.choice(kinds)
    frame = ERRORS[kind](words, random.choice((500, 502, 503, 529)))
    if kind in ("event", "anthropic"):
        yield f"event: error{end[: len(end) // 2]}"
    yield f"data: {frame}{end}" if isinstance(frame, str) else f"data: {json.dumps(frame)}{end}"
    if random.random() < 0.5:
        yield f"data: [DONE]{end}"


def _cut(random: Random, text: str) -> Iterator[str]:
    """The text in pieces, cut anywhere in its UTF-16 form: also in the middle of a character."""
    units = text.encode("utf-16-le", "surrogatepass")
    place = 0
    while place < len(units):
        size = 2 * random.randint(1, 12)
        yield units[place : place + size].decode("utf-16-le", "surrogatepass")
        place += size


def _chunk(
    delta: Mapping[str, Any] | None,
    *,
    choice: int = 0,
    finish: str | None = None,
    usage: Mapping[str, int] | None = None,
    end: str = "\n\n",
) -> str:
    choices = [] if delta is None else [{"index": choice, "delta": delta, "finish_reason": finish}]
    frame = {"id": "chatcmpl-r", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
    return f"data: {json.dumps(frame | ({'usage': usage} if usage else {}))}{end}"


def _torn(random: Random, data: bytes) -> Iterator[bytes]:
    """As the network may bring it: frames and characters torn anywhere."""
    place = 0
    while place < len(data):
        size = random.choice((1, 7, 60, 400, 5_000))
        yield data[place : place + size]
        place += size


class StreamingProvider:
    """Answers each request with the next plan, and when all are sent, with a plain answer. `requests` is the record."""

    def __init__(self, plans: Sequence[StreamPlan]) -> None:
        self.left = list(plans)
        self.sent: list[StreamPlan] = []
        self.requests: list[Any] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """`POST /v1/chat/completions`."""
        self.requests.append(await request.json())
        plan = self.left.pop(0) if self.left else good_plan("All is said.")
        self.sent.append(plan)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in plan.pieces:
            await response.write(piece)
        if plan.aborted and request.transport is not None:
            request.transport.abort()
        return response
