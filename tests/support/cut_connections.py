"""A long conversation, and clients whose connections break during it."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

from tests.support.event_summaries import Event
from tests.support.model_replies import Answer, Call, Reply
from tests.support.proxy import Proxy
from tests.support.socket_clients import Client, Protocol2Client
from tests.support.socket_connection import ConnectionCut

SAID = "Now I look at what is there, one thing after another, and say what I see."
GREETING_BYTES = 700
"""About what comes back before the first event: handshake, open packet, acceptance, hello."""
REST_STATES = ("awaiting_user_input", "finished", "error")


def busy_scripts(turns: int, steps: int) -> dict[str, Sequence[Answer]]:
    """A script per turn: thoughts that stream, commands alone and in pairs, an answer."""
    return {f"turn{turn}": [_step(turn, step) for step in range(steps)] + [Reply(text=SAID)] for turn in range(turns)}


def _step(turn: int, step: int) -> Reply:
    first = Call(name="execute_bash", arguments={"command": f"echo {turn}.{step}; seq {step * 20}"})
    second = Call(name="execute_bash", arguments={"command": f"echo {turn}.{step} again; sleep 0.02; echo over"})
    text = SAID if step % 2 else ""
    return Reply(text=text, calls=[first, second] if step % 3 == 2 else [first], piece=6, delay=0.003)


async def keep_talking(client: Protocol2Client, turns: int, enough: asyncio.Event) -> None:
    """Send one message after another, until it is enough."""
    turn = 0
    while not enough.is_set():
        said = await client.say(f"go on [[turn{turn % turns}]]")
        await client.until_state(*REST_STATES, after=said, within=60)
        turn += 1


async def answer_questions(client: Protocol2Client, rng: Random) -> None:
    """Confirm whatever is asked, and refuse now and then. Endless."""
    cursor = -1
    while True:
        asked = await client.until_event(_awaits_answer, after=cursor, within=600)
        cursor = asked["id"]
        await client.order("user_rejected" if rng.random() < 0.05 else "user_confirmed", id=cursor)


def _awaits_answer(event: Event) -> bool:
    args = event.get("args")
    return isinstance(args, dict) and args.get("confirmation_state") == "awaiting_confirmation"


@dataclass
class ConnectionCutter:
    """Breaks one client's connection at random points, a third of them during a replay. `watcher` sees everything."""

    client: Client
    between: Proxy
    watcher: Client
    rng: Random
    heads: list[int] = field(default_factory=list)
    """For each visit, the newest event that was there before it."""
    cuts: int = 0
    in_replay: int = 0

    async def cut(self, times: int) -> None:
        """Connect and be cut, so many times."""
        while self.cuts < times:
            if self.in_replay < -(-self.cuts // 3) or self.rng.random() < 0.34:
                await self._cut_in_replay()
            else:
                await self._cut_live()
            self.cuts += 1

    async def finish(self) -> None:
        """Connect once more, and catch up with the watcher."""
        self.heads.append(self.watcher.last)
        await self.client.connect()
        await self.client.until_id(self.watcher.last)

    async def _cut_in_replay(self) -> None:
        missing = self.rng.randint(8, 40)
        goal = self.client.last + missing
        await self.watcher.until_id(goal, within=60)
        size = sum(len(json.dumps(event)) for event in self.watcher.events[self.client.last + 1 :])
        self.between.cut_after(GREETING_BYTES + self.rng.randrange(size * 3 // 4))
        await self._visit()
        self.in_replay += self.client.last < self.heads[-1]

    async def _cut_live(self) -> None:
        if self.rng.random() < 0.6:
            self.between.cut_after(self.rng.randint(1, 20_000))
            await self._visit()
        else:
            wanted = self.rng.randint(0, 12)
            await self._visit(wanted)

    async def _visit(self, wanted: int | None = None) -> None:
        """One connection to its end, which comes after so many events where the proxy has not been told when."""
        self.heads.append(self.watcher.last)
        before = self.between.cuts
        with suppress(ConnectionCut):
            await self.client.connect()
            if wanted is not None:
                await self.client.until(lambda: len(self.client.visits[-1].ids) >= wanted, within=60)
            if wanted is not None or self.between.cuts > before:
                self.between.cut()  # a handshake that was cut is tried again by the HTTP library itself
        await self.client.until_gone(within=60)
