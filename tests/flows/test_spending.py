"""What calls cost is what their provider has counted, to the micro-dollar."""

import asyncio
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from openhands_sessions.config.config import Config, LlmSection
from openhands_sessions.core.commands import SendMessage, Stop
from openhands_sessions.core.events.codec import decode
from openhands_sessions.core.events.own import ModelCalledObservation
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId
from openhands_sessions.ports.gateway import Delta, SessionSpec
from tests.support.in_process_server import InProcessServer, in_process_server, read, state
from tests.support.model_replies import Answer, Call, Fault, FaultKind, Reply, Tokens, Tries
from tests.support.model_scripts import last_user_text
from tests.support.model_server import Asked, model_server

MODEL = "openai/gpt-4o"
READ, CACHED, WRITTEN = 2_500, 1_250, 10_000
"""Billionths of a US dollar for each token, by the provider's price list."""
TALKS = 8


def billed(asked: Asked) -> int:
    """Micro-dollars of one call."""
    if asked.billed is None:
        return 0
    tokens = asked.billed
    exact = (tokens.prompt - tokens.cached) * READ + tokens.cached * CACHED + tokens.completion * WRITTEN
    return (exact + 500) // 1_000


class Provider:
    """Answers at random: with calls and words, after tries that break with or without a count, and, to what is to be
    stopped, with a stream that waits for ever once it has told its count."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self.never = asyncio.Event()

    def answer(self, body: Mapping[str, Any]) -> Answer:
        if last_user_text(body).startswith("stop me"):
            return Reply(
                text="I think about it. " * 4, usage=self._tokens(), counts=True, gate=self.never, gate_after=3
            )
        asked = [message for message in body["messages"] if message["role"] == "tool"]
        said = Reply(text="Done.", usage=self._tokens(), counts=self._chance.random() < 0.5)
        if not asked or self._chance.random() < 0.4:
            said = Reply(calls=[Call(name="think", arguments={"thought": "hm"})], usage=self._tokens())
        faults = [self._fault() for _ in range(self._chance.choice((0, 0, 1, 2)))]
        return Tries([*faults, said])

    def _fault(self) -> Fault:
        kind = self._chance.choice((FaultKind.UNAVAILABLE, FaultKind.CUT, FaultKind.ENDS_EARLY, FaultKind.STREAM_ERROR))
        told = kind is not FaultKind.UNAVAILABLE and self._chance.random() < 0.7
        return Fault(kind=kind, usage=self._tokens() if told else None)

    def _tokens(self) -> Tokens:
        prompt = self._chance.randrange(1, 5_000)
        return Tokens(prompt=prompt, completion=self._chance.randrange(1, 500), cached=self._chance.randrange(prompt))


@pytest.mark.slow
async def test_the_ledger_is_what_the_provider_has_counted(tmp_path: Path) -> None:
    provider = Provider(7)
    async with model_server(provider.answer) as model:
        llm = LlmSection(model=MODEL, base_url=model.url, api_key="key", retries=3)
        async with in_process_server(Config(data_dir=tmp_path, llm=llm)) as server:
            sids = [ConversationId(f"talk-{number}") for number in range(TALKS)]
            async with asyncio.timeout(240):
                await asyncio.gather(*(talk(server, sid) for sid in sids))
            await server.house.sessions.close_all("shutdown")
            calls = {sid: await recorded(server, sid) for sid in sids}
            today = datetime.now(UTC).date()
            entries = await server.house.store.accounts.entries(LOCAL_OWNER, today - timedelta(days=1), today)
    found = [call for each in calls.values() for call in each]
    asked = [*model.requests, *model.titles]
    assert {call.outcome for call in found} == {"answered", "failed", "cancelled"}
    assert {call.purpose for call in found} == {"main", "title"}
    assert len(found) == len(asked)
    assert sum(call.micro_dollars or 0 for call in found) == sum(map(billed, asked)) > 100_000
    assert sorted(call.prompt_tokens for call in found) == sorted(
        one.billed.prompt if one.billed else 0 for one in asked
    )
    assert sum(entry.micro_dollars for entry in entries) == sum(map(billed, asked))
    assert sum(entry.calls for entry in entries) == len(asked)


async def talk(server: InProcessServer, sid: ConversationId) -> None:
    """One conversation: two turns, one that is stopped in mid-stream, and one more."""
    gateway = server.house.local.gateway
    await gateway.open(SessionSpec(id=sid, create=True))
    for text in ("go", "go on"):
        accepted = await gateway.submit(sid, SendMessage(content=text))
        await read(gateway, sid, accepted.id, state("awaiting_user_input"))
    accepted = await gateway.submit(sid, SendMessage(content="stop me"))
    async with gateway.follow(sid, accepted.id) as news:
        async for item in news:
            if isinstance(item, Delta):
                break
    stopped = await gateway.submit(sid, Stop())
    await read(gateway, sid, stopped.id - 1, state("stopped"))
    accepted = await gateway.submit(sid, SendMessage(content="now go on"))
    await read(gateway, sid, accepted.id, state("awaiting_user_input"))


async def recorded(server: InProcessServer, sid: ConversationId) -> Sequence[ModelCalledObservation]:
    found: list[ModelCalledObservation] = []
    async for batch in server.house.store.log(sid).read():
        events = [decode(entry.text, entry.schema) for entry in batch]
        found += [event for event in events if isinstance(event, ModelCalledObservation)]
    return found
