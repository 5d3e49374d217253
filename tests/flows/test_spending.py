"""What calls cost is what their provider has counted, to the micro-dollar."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from openhands_sessions.adapters.window_condenser import SUMMARY_PROMPT
from openhands_sessions.config.config import Config, LlmSection
from openhands_sessions.core.commands import SendMessage, Stop
from openhands_sessions.core.errors import NotAccepting
from openhands_sessions.core.events.codec import Stored, decode
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.events.own import ModelCalledObservation
from openhands_sessions.core.history_commands import Compact
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId
from openhands_sessions.ports.gateway import Delta, Gateway, SessionSpec
from openhands_sessions.session.seeding import SEED_PROMPT
from tests.support.in_process_server import InProcessServer, following, in_process_server, state, turn_ends
from tests.support.model_replies import Answer, Call, Fault, FaultKind, Reply, Tokens, Tries
from tests.support.model_scripts import last_user_text
from tests.support.model_server import Asked, model_server
from tests.support.seeds import printed_seed

MODEL = "openai/gpt-4o"
READ, CACHED, WRITTEN = 2_500, 1_250, 10_000
"""Billionths of a US dollar for each token, by the provider's price list."""
TALKS = 8
WORDS = " and on" * 100
TIMEOUT = 2.0
"""Seconds after which a call that nobody answers is given up."""
PATIENCE = 300.0
"""Seconds that no turn takes, with all its tries."""
SUMMARIES = (SUMMARY_PROMPT.rstrip(), SEED_PROMPT.rstrip().rpartition("\n")[2])
"""How requests for summaries end."""
BROKEN = (FaultKind.SERVER_ERROR, FaultKind.UNAVAILABLE, FaultKind.CUT, FaultKind.ENDS_EARLY, FaultKind.STREAM_ERROR)
SILENT = "[silent]"
"""In what is said where the provider never answers."""
EARLIER: tuple[Json, ...] = ({"role": "user", "content": "build a boat"}, {"role": "assistant", "content": "the hull"})


def billed(asked: Asked) -> int:
    """Micro-dollars of one call."""
    if asked.billed is None:
        return 0
    tokens = asked.billed
    exact = (tokens.prompt - tokens.cached) * READ + tokens.cached * CACHED + tokens.completion * WRITTEN
    return (exact + 500) // 1_000


class Provider:
    """Answers at random: with calls and words, after tries that break with or without a count; to what is to be
    stopped, with a stream that waits for ever once it has told its count; and to what is said to be silent, never."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self.never = asyncio.Event()

    def answer(self, body: Mapping[str, Any]) -> Answer:
        if last_user_text(body).startswith("stop me"):
            return Reply(
                text="I think about it. " * 4, usage=self._tokens(), counts=True, gate=self.never, gate_after=3
            )
        if last_user_text(body).startswith(SILENT):
            return Fault(kind=FaultKind.SILENCE)
        if any(last_user_text(body).rstrip().endswith(prompt) for prompt in SUMMARIES):
            return Tries([self._fault(), Reply(text="A boat.", usage=self._tokens())])
        asked = [message for message in body["messages"] if message["role"] == "tool"]
        said = Reply(text="Done.", usage=self._tokens(), counts=self._chance.random() < 0.5)
        if not asked or self._chance.random() < 0.4:
            said = Reply(calls=[Call(name="think", arguments={"thought": "hm"})], usage=self._tokens())
        faults = [self._fault() for _ in range(self._chance.choice((0, 0, 1, 2)))]
        return Tries([*faults, said])

    def _fault(self) -> Fault:
        kind = self._chance.choice(BROKEN)
        told = kind not in (FaultKind.SERVER_ERROR, FaultKind.UNAVAILABLE) and self._chance.random() < 0.7
        return Fault(kind=kind, usage=self._tokens() if told else None)

    def _tokens(self) -> Tokens:
        prompt = self._chance.randrange(1, 5_000)
        return Tokens(prompt=prompt, completion=self._chance.randrange(1, 500), cached=self._chance.randrange(prompt))


@pytest.mark.slow
async def test_the_ledger_is_what_the_provider_has_counted(tmp_path: Path) -> None:
    await spending_storm(tmp_path, 7, TALKS)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("run", range(5))
async def test_the_ledger_of_a_long_storm_is_what_the_provider_has_counted(tmp_path: Path, run: int) -> None:
    await spending_storm(tmp_path, printed_seed(), 24)


async def spending_storm(tmp_path: Path, seed: int, talks: int) -> None:
    """So many conversations at once, with calls for every purpose that fail, are cut, time out, are tried again and are
    stopped."""
    provider = Provider(seed)
    async with model_server(provider.answer) as model:
        llm = LlmSection(model=MODEL, base_url=model.url, api_key="key", retries=3)
        async with in_process_server(Config(data_dir=tmp_path, llm=llm)) as server:
            sids = [ConversationId(f"talk-{number}") for number in range(talks)]
            async with asyncio.TaskGroup() as group:
                for sid in sids:
                    group.create_task(talk(server, sid))
                    group.create_task(silence(server, ConversationId(f"silent-{sid}")))
            sids += [ConversationId(f"silent-{sid}") for sid in sids]
            await server.house.sessions.close_all("shutdown")
            calls = {sid: await recorded(server, sid) for sid in sids}
            today = datetime.now(UTC).date()
            entries = await server.house.store.accounts.entries(LOCAL_OWNER, today - timedelta(days=1), today)
    found = [call for each in calls.values() for call in each]
    asked = [*model.requests, *model.titles]
    assert {call.outcome for call in found} == {"answered", "failed", "cancelled"}
    assert {call.purpose for call in found} == {"main", "title", "condense", "seed"}
    assert len(found) == len(asked)
    assert sum(call.micro_dollars or 0 for call in found) == sum(map(billed, asked)) > 100_000
    assert sorted(call.prompt_tokens for call in found) == sorted(
        one.billed.prompt if one.billed else 0 for one in asked
    )
    assert sum(entry.micro_dollars for entry in entries) == sum(map(billed, asked))
    assert sum(entry.calls for entry in entries) == len(asked)


async def talk(server: InProcessServer, sid: ConversationId) -> None:
    """One conversation: it begins from a summary, has turns, is compacted, is stopped in mid-stream, and goes on."""
    gateway = server.house.local.gateway
    await gateway.open(SessionSpec(id=sid, create=True, seed_messages=EARLIER))
    for text in ("go", "go on", "go further", "go away"):
        await say(gateway, sid, text + WORDS)
    with suppress(NotAccepting):  # a summary that is cut again and again ends in a refusal, and is counted too
        await gateway.submit(sid, Compact())
    accepted = await gateway.submit(sid, SendMessage(content="stop me"))
    async with gateway.follow(sid, accepted.id) as news:
        async for item in news:
            if isinstance(item, Delta):
                break
    stopped = await gateway.submit(sid, Stop())
    await until(gateway, sid, stopped.id - 1, state("stopped"))
    await say(gateway, sid, "now go on")


async def silence(server: InProcessServer, sid: ConversationId) -> None:
    """One conversation with a model that does not answer in time."""
    gateway = server.house.local.gateway
    await gateway.open(SessionSpec(id=sid, create=True, settings={"llm_timeout": TIMEOUT}))
    accepted = await gateway.submit(sid, SendMessage(content=SILENT))
    await until(gateway, sid, accepted.id, state("error"))


async def say(gateway: Gateway, sid: ConversationId, text: str) -> None:
    """Say something, and wait until the turn has ended."""
    accepted = await gateway.submit(sid, SendMessage(content=text))
    await until(gateway, sid, accepted.id, turn_ends)


async def until(gateway: Gateway, sid: ConversationId, after: int, happens: Callable[[Stored], bool]) -> None:
    async with asyncio.timeout(PATIENCE), gateway.follow(sid, after) as news:
        await following(news, happens)


async def recorded(server: InProcessServer, sid: ConversationId) -> Sequence[ModelCalledObservation]:
    found: list[ModelCalledObservation] = []
    async for batch in server.house.store.log(sid).read():
        events = [decode(entry.text, entry.schema) for entry in batch]
        found += [event for event in events if isinstance(event, ModelCalledObservation)]
    return found
