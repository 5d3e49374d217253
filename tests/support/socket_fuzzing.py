"""Strategies of socket frames: valid by the server's own schema, nearly valid, and malformed."""

import asyncio
import base64
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

Strategy = st.SearchStrategy[Any]
Schema = Mapping[str, Any]

ANSWERED_WITHIN = 30.0
ROUND = 50
"""Examples of one round; a round has one seed."""

SHOWN = 300
"""Characters of a frame that are shown where a test fails."""
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NUMBERS = st.integers() | st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False)
VALUES: Strategy = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=8,
)


def shaped(schema: Schema, defs: Schema) -> Strategy:
    """Values that fit a JSON schema, as far as the socket's document needs it."""
    match schema:
        case {"$ref": str(place)}:
            return shaped(defs[place.rpartition("/")[2]], defs)
        case {"anyOf": list(ways)}:
            return st.one_of([shaped(way, defs) for way in ways])
        case {"const": value}:
            return st.just(value)
        case {"enum": list(chosen)}:
            return st.sampled_from(chosen)
        case {"type": "object", "properties": properties}:
            needed = schema.get("required", ())
            fields = {name: shaped(each, defs) for name, each in properties.items()}
            return st.fixed_dictionaries(
                {name: fields[name] for name in needed},
                optional={name: fields[name] for name in fields if name not in needed},
            )
        case {"type": "array", "items": items}:
            return st.lists(shaped(items, defs), max_size=min(3, schema.get("maxItems", 3)))
        case {"type": "string"}:
            return TEXTS.filter(lambda text: len(text) >= schema.get("minLength", 0))
        case {"type": kind}:
            plain = {"integer": st.integers(-(2**63), 2**63), "boolean": st.booleans(), "null": st.none()}
            return plain.get(kind, st.dictionaries(TEXTS, VALUES, max_size=3))
        case {} if not schema.keys() - {"title", "description"}:
            return VALUES
    raise NotImplementedError(schema)


@st.composite
def mistaken(draw: st.DrawFn, right: Strategy) -> Any:
    """A value with one place in it changed, left out or added."""
    value = draw(right)
    place = value
    while isinstance(place, dict) and place and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(place)))
        if not isinstance(place[name], dict) or draw(st.booleans()):
            if draw(st.booleans()):
                place[name] = draw(VALUES)
            else:
                del place[name]
            return value
        place = place[name]
    if isinstance(place, dict):
        place[draw(TEXTS)] = draw(VALUES)
        return value
    return draw(VALUES)


@dataclass(frozen=True, slots=True)
class Sent:
    """A frame, and what it may bring about. `answer` is how a packet of the answer begins; none may be due. `ends`:
    the connection may be over then. `v0`: only such clients are answered, since others ask where they want to be."""

    frame: str | bytes
    answer: tuple[str, ...] = ()
    ends: bool = False
    v0: bool = False

    def __repr__(self) -> str:
        frame = repr(self.frame)
        return f"Sent({frame if len(frame) < SHOWN else frame[:SHOWN] + '…'}, {self.answer}, ends={self.ends})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """As hypothesis shows it."""
        printer.text(repr(self))


ERROR = '42["oh_event",{"error":true'
BARE = (ERROR,)
ENTRY = ("40{", "44{", "44/", "40/", ERROR)


def packet(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Frames:
    """Strategies of frames for one server. `valid` says whether its document takes a command."""

    commands: Strategy
    auth: Strategy
    valid: Callable[[Any], bool]
    message_bytes: int

    def any(self) -> st.SearchStrategy[Sent]:
        return st.one_of(
            self.asking(),
            self.asking(),
            self.unasked(),
            self.other_events(),
            malformed(),
            undecodable(),
            nested(),
            self.entries(),
            self.too_large(),
            endings(),
        )

    def asking(self) -> st.SearchStrategy[Sent]:
        """Commands that ask for an acknowledgement."""
        value = self.commands | mistaken(self.commands) | VALUES
        name = st.sampled_from(("oh_user_action", "oh_action"))
        return st.builds(
            lambda number, name, value: Sent(f"42{number}{packet([name, value])}", (f"43{number}[",)),
            st.integers(0, 999),
            name,
            value,
        )

    def unasked(self) -> st.SearchStrategy[Sent]:
        """Commands as a V0 client sends them."""
        return st.builds(
            lambda value: Sent(f"42{packet(['oh_user_action', value])}", () if self.valid(value) else BARE, v0=True),
            mistaken(self.commands) | VALUES,
        )

    def other_events(self) -> st.SearchStrategy[Sent]:
        """Names and numbers of values that are none of ours, those that libraries keep for themselves among them."""
        name = TEXTS | st.sampled_from(("connect", "disconnect", "connect_error", "message", "oh_event", "hello", "*"))
        place = st.sampled_from(("", "/operator,", "/nowhere,", "/,"))
        return st.builds(
            lambda number, place, name, values: Sent(
                f"42{place}{number}{packet([name, *values])}", (f"43{'' if place == '/,' else place}{number}[",)
            ),
            st.integers(0, 999),
            place,
            name,
            st.lists(VALUES, max_size=3),
        )

    def entries(self) -> st.SearchStrategy[Sent]:
        """Further connects, to this namespace and others."""
        place = st.sampled_from(("", "/,", "/operator,", "/nowhere,", "/nowhere"))
        auth = st.just("") | st.builds(packet, self.auth | mistaken(self.auth) | st.lists(VALUES, max_size=2))
        return st.builds(lambda place, auth: Sent(f"40{place}{auth if place[-1:] != 'e' else ''}", ENTRY), place, auth)

    def too_large(self) -> st.SearchStrategy[Sent]:
        least = self.message_bytes
        command = packet(["oh_user_action", {"action": "message", "args": {"content": "%"}}])
        return st.sampled_from((least, 2 * least - 200, 2 * least + 1, 4 * least)).map(
            lambda size: Sent(f"427{command.replace('%', 'x' * size)}", ("437[",), ends=size > 2 * least - 300)
        )


def malformed() -> st.SearchStrategy[Sent]:
    """What engine.io lets through, and Socket.IO cannot read."""
    fixed = (
        *("4", "42", "42{", "42{}", "42[]", "42[1]", "42[[]]", "42null", "42x", "4?", '42/nowhere,["x"]'),
        *("4null", "4true", '4{"a":1}', "4[1]", "4-1", '4"x"', "47[]", "48", "49", "44{}", "44", "45", "46"),
        *('42["oh_user_action",', '42["oh_user_action",NaN]'),
        *('452-["oh_user_action",{"_placeholder":true,"num":0}]', "4599999999999-[]", "4" + "2" * 300),
    )
    deep = st.sampled_from((200, 1_000, 20_000)).map(
        lambda depth: Sent(f'42["oh_user_action",{"[" * depth}{"]" * depth}]', BARE, v0=depth < 1_024)
    )
    cut = TEXTS.map(lambda text: f'42["oh_user_action",?{text}')
    asking = st.sampled_from(
        ("428", "428{}", "428e5[]", '428["x"', '451-8["oh_user_action",{"_placeholder":true,"num":0}]', "428[1]")
    )
    return st.one_of(
        st.sampled_from(fixed).map(lambda frame: Sent(frame, BARE)),
        st.just(Sent('42["oh_user_action","\\ud800"]', BARE, v0=True)),
        deep,
        cut.map(lambda frame: Sent(frame, BARE)),
        asking.map(lambda frame: Sent(frame, ("438[",))),
    )


def nested() -> st.SearchStrategy[Sent]:
    """Commands and connects with something in them that is nested more deeply than anybody means it."""
    lists = st.sampled_from((101, 254, 260, 1_000, 1_030, 20_000)).map(lambda levels: "[" * levels + "]" * levels)
    command = '{"action":"message","args":{"content":"x","z":%}}'
    create = '{"settings":{"mcp_config":{"shttp_servers":[{"url":"http://x.y","z":%}]}}}'
    asking = lists.map(lambda value: Sent(f'427["oh_user_action",{command.replace("%", value)}]', ("437[",)))
    entering = lists.map(
        lambda value: Sent(f'40{{"conversation_id":"deep","create":{create.replace("%", value)}}}', ENTRY)
    )
    return asking | entering


def undecodable() -> st.SearchStrategy[Sent]:
    """What engine.io cannot read, and bytes."""
    texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).filter(
        lambda text: not text[:1].isdigit() and text[:1] != "b"
    )
    wrong = texts | st.sampled_from(("", "x", "b!", "b", "bAAA", "²", "7", "8", "9x", "\x1e"))
    return st.one_of(
        wrong.map(lambda frame: Sent(frame, BARE)),
        st.binary(max_size=40).map(lambda frame: Sent(frame, BARE)),
        st.binary(max_size=20).map(lambda content: Sent(f"b{base64.b64encode(content).decode()}", BARE)),
    )


def endings() -> st.SearchStrategy[Sent]:
    """What says goodbye, or is for the library alone."""
    quiet = ("0", "2", "2probe", "3", "3probe", "5", "6", "43", "437[]", "431[1,2]", "43/nowhere,1[]", "41/nowhere,")
    return st.sampled_from(quiet).map(Sent) | st.sampled_from(("41", "41/,", "1")).map(
        lambda frame: Sent(frame, ends=frame == "1")
    )


async def fuzz(
    strategy: st.SearchStrategy[Any], check: Callable[[Any], Awaitable[None]], *, number: int, seconds: float
) -> int:
    """Check example after example for so many seconds; how many there were. `number` is the first round's seed."""
    loop = asyncio.get_running_loop()
    return await asyncio.to_thread(_rounds, loop, strategy, check, number, time.monotonic() + seconds)


def _rounds(
    loop: asyncio.AbstractEventLoop,
    strategy: st.SearchStrategy[Any],
    check: Callable[[Any], Awaitable[None]],
    number: int,
    until: float,
) -> int:
    count = 0

    async def checked(example: Any) -> None:
        try:
            async with asyncio.timeout(ANSWERED_WITHIN):
                await check(example)
        except TimeoutError:
            raise AssertionError(f"no answer within {ANSWERED_WITHIN:g} s: {example!r}") from None

    while time.monotonic() < until:

        @seed(number)
        @settings(
            max_examples=ROUND,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(strategy)
        def one(example: Any) -> None:
            nonlocal count
            count += 1
            asyncio.run_coroutine_threadsafe(checked(example), loop).result()

        one()
        number += 1
    return count
