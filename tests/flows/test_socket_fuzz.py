"""Anything, over the real socket: it is answered, connection and conversation live on, nobody else feels it, and
nothing of it is left."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from tests.support.fuzzed_server import (
    MESSAGE_BYTES,
    THEIRS,
    FuzzedServer,
    fuzzed_server,
    lives_on,
    only_these_are_left,
)
from tests.support.raw_socket import RawSocket
from tests.support.seeds import REPORTED_IN_CI, printed_seed
from tests.support.socket_connection import ConnectionCut
from tests.support.socket_fuzzing import ROUND, TEXTS, VALUES, Frames, Sent, fuzz, mistaken, packet, shaped

LISTENED = 5
"""Round trips for which a client stays that was let in: what it asked for must not fail later."""


async def test_whatever_a_socket_sends_is_answered_and_harms_nobody(data_dir: Path) -> None:
    assert await frames_fuzzed(data_dir, seconds=5) >= ROUND


async def test_whoever_connects_however_is_let_in_or_refused_in_words(data_dir: Path) -> None:
    assert await handshakes_fuzzed(data_dir, seconds=2) >= ROUND


@REPORTED_IN_CI
async def test_frames_and_handshakes_of_a_new_seed_are_answered(data_dir: Path) -> None:
    await frames_fuzzed(data_dir.with_name("frames"), seconds=1, fixed=False)
    await handshakes_fuzzed(data_dir.with_name("handshakes"), seconds=1, fixed=False)


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("run", range(12))
async def test_whatever_a_socket_sends_is_answered_for_long(data_dir: Path, run: int) -> None:
    assert await frames_fuzzed(data_dir, seconds=9) >= ROUND


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("run", range(12))
async def test_whoever_connects_is_let_in_or_refused_for_long(data_dir: Path, run: int) -> None:
    assert await handshakes_fuzzed(data_dir, seconds=4) >= ROUND


async def frames_fuzzed(data_dir: Path, *, seconds: float, fixed: bool = True) -> int:
    """How many examples were tried. Each is a connection with a few frames."""
    async with fuzzed_server(data_dir) as place:
        takes = place.validator(place.payloads["oh_user_action"])
        frames = Frames(
            commands=shaped(place.payloads["oh_user_action"], place.defs),
            auth=shaped(place.payloads["auth"], place.defs),
            valid=takes.is_valid,
            message_bytes=MESSAGE_BYTES,
        )
        sid = await place.clients.rest.create()
        said = {name: place.validator(schema) for name, schema in place.said.items()}
        acknowledged = place.validator(place.payloads["acknowledgement"])

        async def check(example: tuple[int, list[Sent]]) -> None:
            protocol, sent = example
            raw = RawSocket(place.clients.rest.http, place.server.url)
            try:
                heard = await _exchanged(raw, sid, protocol, sent)
            finally:
                await raw.close()
            for text in heard:
                _judge(text, said, acknowledged)

        example = st.tuples(st.sampled_from((1, 2)), st.lists(frames.any(), min_size=1, max_size=8))
        count = await fuzz(example, check, number=printed_seed(fixed_in_ci=fixed), seconds=seconds)
        await only_these_are_left(place, {sid, place.calm.sid})
        await lives_on(place, sid)
    return count


async def _exchanged(raw: RawSocket, sid: str, protocol: int, sent: list[Sent]) -> list[str]:
    """All that was heard. Fails where something was not answered."""
    await raw.open()
    auth = {"conversation_id": sid, "protocol": protocol, "after": 10**9}
    assert (await raw.connect(packet(auth))).startswith("40{")
    heard: list[str] = []
    for each in sent:
        try:
            await raw.send(each.frame)
            answers = await raw.answers()
        except ConnectionCut as cut:
            if not each.ends:
                raise AssertionError(f"{each!r} ended the connection: {cut}") from cut
            return heard
        if each.answer and (protocol == 1 or not each.v0):
            assert any(text.startswith(each.answer) for text in answers), (each, answers)
        heard += answers
    return heard


def _judge(text: str, said: Mapping[str, Any], acknowledged: Any) -> None:
    """What the server says is what its document says that it says."""
    if text.startswith(("42[", "42/operator,[")):
        name, value = json.loads(text[text.index("[") :])
        said[name].validate(value)
    elif text.startswith("43") and "[" in text:
        (value,) = json.loads(text[text.index("[") :])
        acknowledged.validate(value)
    elif text.startswith("44"):
        told = json.loads(text[text.index("{") :])
        assert told["message"]
        assert told["data"]["code"]
    else:
        assert text.startswith(("40", "41", "6")), text


async def handshakes_fuzzed(data_dir: Path, *, seconds: float, fixed: bool = True) -> int:
    """How many handshakes were tried, each with a query and an `auth` payload."""
    async with fuzzed_server(data_dir) as place:
        sid = await place.clients.rest.create()
        made: set[str] = set()
        refused = place.validator(place.payloads["refusal"])

        async def check(example: tuple[dict[str, str], Any]) -> None:
            query, auth = example
            asked = _asked_for(query, auth)
            raw = RawSocket(place.clients.rest.http, place.server.url)
            try:
                await raw.open(query)
                answer = await raw.connect("" if auth is None else packet(auth))
                for _ in range(LISTENED if answer.startswith("40") else 0):
                    await raw.answers()
            except ConnectionCut as refusal:
                if refusal.args[0] != 400:  # engine.io's answer to a version that it does not know
                    raise AssertionError(f"{example!r} was not answered: {refusal}") from refusal
                return
            finally:
                await raw.close()
            if answer.startswith("40"):
                assert asked != THEIRS
                made.add(str(asked))
                return
            told = json.loads(answer[2:])
            refused.validate(told)
            assert told["message"]
            assert told["data"]["code"] in ("bad_input", "not_found", "unauthorized"), told
            assert asked != THEIRS or told["data"]["code"] in ("not_found", "bad_input")

        count = await fuzz(_handshakes(place, sid), check, number=printed_seed(fixed_in_ci=fixed), seconds=seconds)
        await only_these_are_left(place, {sid, place.calm.sid, *made})
        await lives_on(place, sid)
    return count


def _handshakes(place: FuzzedServer, sid: str) -> st.SearchStrategy[tuple[dict[str, str], Any]]:
    ids = st.sampled_from((sid, THEIRS, "unknown", "", "null", "a/b", "../x", "x" * 65, "\0", "é")) | TEXTS
    fresh = st.integers(0, 10**9).map(lambda number: f"new-{number}")
    numbers = st.sampled_from(("-1", "0", "--5", "²", "1e3", "-5", "9" * 400, "-" + "9" * 30, "NaN")) | TEXTS
    query = st.fixed_dictionaries(
        {},
        optional={
            "conversation_id": ids,
            "latest_event_id": numbers,
            "after": numbers,
            "protocol": st.sampled_from(("1", "2", "3", "x", "2.0")) | TEXTS,
            "providers_set": st.sampled_from(("", "github", "github,gitlab", "sourceforge", ",")) | TEXTS,
            "session_api_key": TEXTS,
            "epoch": TEXTS,
            "EIO": st.sampled_from(("4", "4", "3", "x")),
        },
    )
    right = shaped(place.payloads["auth"], place.defs)
    named = st.builds(lambda value, sid: {**value, "conversation_id": sid}, right, ids | fresh)
    usual = st.builds(lambda value, protocol: {**value, "protocol": protocol}, named, st.sampled_from((1, 2)))
    far = st.builds(
        lambda protocol, after: {"conversation_id": sid, "protocol": protocol, "after": after},
        st.sampled_from((1, 2)),
        st.sampled_from((-1, 0, -2, -(2**63) - 1, -(10**40), 10**40, -0.0, -1e300, 1e300)),
    )
    return st.tuples(query, st.none() | usual | far | mistaken(usual) | mistaken(named) | mistaken(right) | VALUES)


def _asked_for(query: Mapping[str, str], auth: object) -> object:
    """The conversation that a handshake names."""
    named = auth.get("conversation_id") if isinstance(auth, dict) and "conversation_id" in auth else None
    return named if isinstance(auth, dict) and "conversation_id" in auth else query.get("conversation_id")
