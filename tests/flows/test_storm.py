"""Impatient users on many conversations, over REST, server-sent events and the socket: whatever they do, every call is
answered, and every log makes sense."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from openhands_sessions.config.config import AgentSection, Config, LimitsSection
from openhands_sessions.core.events.codec import from_wire
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.service.idle_closing import is_idle
from tests.support.in_process_server import InProcessServer, in_process_server
from tests.support.log_invariant import check_log
from tests.support.seeds import printed_seed
from tests.support.server_clients import Clients
from tests.support.session_harness import our_tasks
from tests.support.socket_connection import ConnectionCut, ConnectionRefused
from tests.support.storm_accounts import PLENTY, SCARCE, check_accounts, overrun
from tests.support.storm_budgets import PRICES, StormBudgets
from tests.support.storm_guests import StormGuests

SCRIPT = """
name: storm
replies:
  - when: work
    steps:
      - {say: I look., call: execute_bash, with: {command: "echo x >> ran; sleep 0.05"}}
      - calls:
          - {call: execute_bash, with: {command: "true"}}
          - {call: think, with: {thought: hm}}
          - {call: execute_bash, with: {command: "echo y >> ran"}}
      - calls:
          - {call: str_replace_editor, with: {command: view, path: ran}}
          - {call: str_replace_editor, with: {command: view, path: nothing}}
          - {call: str_replace_editor, with: {command: view, path: ran}}
      - {say: "Done, and told in several pieces.", delay: 0.02}
  - steps:
      - {say: "Here you are, in several pieces.", delay: 0.02}
over: Nothing more.
"""
MODELS = ("scripted:storm", "scripted:gale")
ANSWERED = {200, 404, 409, 422, 429}
SLOWEST = 2.0
"""Seconds that no call takes, though the users share the server's process."""
PATIENCE = 30.0
"""Seconds after which an act hangs."""
IMPATIENT = 0.1
"""Most seconds between two acts of a user who leaves the server no rest."""
PAUSE = 3.0
"""Most seconds between two acts of one of many users: as many as leave the processors some rest, or each call would
wait for those before it."""


class Storm:
    """What users do to one server, with at most `pause` seconds between two acts of one. `faults` is what was answered
    wrongly, `took` how long each call took, `calls` counts the acts."""

    def __init__(self, served: InProcessServer, seed: int, pause: float) -> None:
        self.random = random.Random(seed)
        self.purposes: set[str] = set()
        """What the model was called for, once all has ended."""
        self._pause = pause
        self.took: list[tuple[float, str]] = []
        self.faults: list[str] = []
        self.accepted: dict[str, set[str]] = {}
        self.calls: Counter[str] = Counter()
        self._served = served
        self._number = 0
        self.guests = StormGuests(self.random, self.faults, self.accepted)
        self.budgets = StormBudgets(self.random, self.faults)
        self._ways: dict[str, Callable[[Clients, str], Awaitable[None]]] = {
            "steer": self._sends("steer"),
            "queue": self._sends("queue"),
            "stream": self._streams,
            "socket": self._speaks,
            "edit": self._commands("edit_queued_message", content="rather this"),
            "remove": self._commands("remove_queued_message"),
            "stop": self._states("stopped"),
            "pause": self._states("paused"),
            "resume": self._states("running"),
            "yes": self._states("user_confirmed"),
            "no": self._states("user_rejected"),
            "decide": self._decides,
            "model": self._switches,
            "read": self._reads,
            "spare": self._spares,
            "undo": self._moves("undo"),
            "regenerate": self._moves("regenerate"),
            "switch": self._moves("switch", branch="1"),
            "compact": self._moves("compact"),
            "seed": self._moves("seed", messages=[{"role": "user", "content": "we build a boat"}, 7]),
            "usage": self._counts,
            "close": self._closes,
            "start": self._starts,
            "reap": self._reaps,
            "look": self._looks,
            "share": self.guests.share,
            "revoke": self.guests.revoke,
            "visit": self.guests.visit,
            "budget": self.budgets.put,
            "budget command": self.budgets.post,
            "budget socket": self.budgets.speak,
            "budget look": self.budgets.look,
        }

    async def rage(self, clients: Clients, sid: str, seconds: float) -> None:
        """One user of one conversation, for so long."""
        self.accepted[sid] = set()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            name = self.random.choice([*self._ways, "steer", "queue", "queue", "yes", "decide", "decide", "socket"])
            async with asyncio.timeout(PATIENCE):
                await self._ways[name](clients, sid)
            self.calls[name] += 1
            await asyncio.sleep(self.random.random() * self._pause)

    async def ask(self, clients: Clients, name: str, sid: str, path: str, body: object) -> Any:
        with self._timed(name):
            status, answer = await clients.rest.ask("POST", f"/api/conversations/{sid}{path}", body)
        if status not in ANSWERED:
            self.faults.append(f"{name}: {status} {answer}")
        return answer if status == 200 else None

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.took.append((time.monotonic() - begun, name))

    def _key(self) -> str:
        self._number += 1
        return f"key-{self._number}"

    def _text(self) -> str:
        return self.random.choice(["work", "talk", "work on", "again"])

    def _event(self) -> int:
        return self.random.randrange(0, 60)

    def _sends(self, mode: str) -> Callable[[Clients, str], Awaitable[None]]:
        async def send(clients: Clients, sid: str) -> None:
            key = self._key()
            body = {"content": self._text(), "mode": mode, "key": key}
            if await self.ask(clients, mode, sid, "/messages", body) is not None:
                self.accepted[sid].add(key)

        return send

    async def _streams(self, clients: Clients, sid: str) -> None:
        """Ask for the events of a turn, and leave after some of them."""
        url = f"{clients.rest.url}/api/conversations/{sid}/messages?stream=true"
        key, most = self._key(), self.random.randrange(1, 4_000)
        body = {"content": self._text(), "mode": "queue", "key": key}
        async with AsyncExitStack() as stack:
            with self._timed("stream"):
                answer = await stack.enter_async_context(clients.rest.http.post(url, json=body))
            if answer.status not in ANSWERED:
                self.faults.append(f"stream: {answer.status}")
            if answer.status != 200:
                return
            self.accepted[sid].add(key)
            try:
                async with asyncio.timeout(self.random.random()):
                    await answer.content.read(most)
            except TimeoutError:
                pass

    async def _speaks(self, clients: Clients, sid: str) -> None:
        """Come over the socket, say something, and vanish or leave."""
        client, key = clients.protocol2(sid), self._key()
        try:
            with self._timed("connect"):
                await client.connect()
            with self._timed("socket"):
                answer = await client.command("message", key=key, content=self._text())
            if answer["ok"]:
                self.accepted[sid].add(key)
            if self.random.random() < 0.5:
                await client.vanish()
        except (ConnectionCut, ConnectionRefused, aiohttp.ClientError):
            pass  # the conversation was closed just then
        finally:
            await client.leave()
        self.faults += client.faults

    def _commands(self, action: str, **args: object) -> Callable[[Clients, str], Awaitable[None]]:
        async def command(clients: Clients, sid: str) -> None:
            body = {"action": action, "args": {"id": self._event(), **args}}
            await self.ask(clients, action, sid, "/events", body)

        return command

    def _states(self, state: str) -> Callable[[Clients, str], Awaitable[None]]:
        async def order(clients: Clients, sid: str) -> None:
            args: dict[str, object] = {"agent_state": state}
            match state, self.random.random() < 0.5:
                case "stopped", True:
                    args["turn"] = self._event()
                case "user_confirmed", True:
                    args["arguments"] = {"command": "true"}
                case "user_rejected", True:
                    args |= {"feedback": "not now", "id": self._event()}
            for _ in range(self.random.choice([1, 1, 2])):  # an impatient user says it twice
                await self.ask(clients, state, sid, "/events", {"action": "change_agent_state", "args": args})

        return order

    async def _decides(self, clients: Clients, sid: str) -> None:
        """About a batch: rightly, of an older version, twice, or with other arguments."""
        approval = (await clients.rest.describe(sid))["session"]["approval"] or {"batch": 3, "version": 1, "calls": []}
        decisions: list[dict[str, object]] = [
            {"event_id": call["event_id"], "decision": self.random.choice(["approve", "reject"])}
            for call in approval["calls"]
            if self.random.random() < 0.6
        ]
        if decisions and decisions[0]["decision"] == "approve" and self.random.random() < 0.5:
            decisions[0] |= {"arguments": {"command": "true"}, "always": "conversation"}
        stale = self.random.random() < 0.2
        args: dict[str, object] = {"batch": approval["batch"], "version": approval["version"] - stale}
        args |= {"decisions": decisions} if decisions else {"rest": self.random.choice(["approve", "reject"])}
        body = {"action": "decide", "args": args}
        for _ in range(self.random.choice([1, 1, 2])):
            await self.ask(clients, "decide", sid, "/events", body)

    async def _switches(self, clients: Clients, sid: str) -> None:
        body = {"model": self.random.choice(MODELS)}
        with self._timed("model"):
            status, answer = await clients.rest.ask("PUT", f"/api/conversations/{sid}/model", body)
        if status not in ANSWERED:
            self.faults.append(f"model: {status} {answer}")

    async def _reads(self, clients: Clients, sid: str) -> None:
        await self.ask(clients, "read", sid, "/read", {"event_id": self._event()})

    async def _spares(self, clients: Clients, sid: str) -> None:
        """Make another conversation, and delete it in the middle of its first turn."""
        with self._timed("create"):
            spare = await clients.rest.create("work", llm_model=self.random.choice(MODELS))
        await asyncio.sleep(self.random.random() * 0.2)
        with self._timed("delete"):
            deleted = await clients.rest.delete(spare)
        if not deleted or await clients.rest.describe(spare) is not None:
            self.faults.append("spare: it is not deleted")

    def _moves(self, action: str, **args: object) -> Callable[[Clients, str], Awaitable[None]]:
        async def move(clients: Clients, sid: str) -> None:
            body = {"action": action, "args": args} if args else {"action": action}
            await self.ask(clients, action, sid, "/history", body)

        return move

    async def _closes(self, clients: Clients, sid: str) -> None:
        await self.ask(clients, "close", sid, "/stop", None)

    async def _starts(self, clients: Clients, sid: str) -> None:
        await self.ask(clients, "start", sid, "/start", {})

    async def _counts(self, clients: Clients, sid: str) -> None:
        """See the account and the quotas."""
        with self._timed("usage"):
            status, answer = await clients.rest.ask("GET", "/api/usage")
        if status != 200 or overrun(answer["quotas"]):
            self.faults.append(f"usage: {status} {answer}")

    async def _reaps(self, clients: Clients, sid: str) -> None:
        """As when it was idle for long."""
        registry = self._served.house.sessions.registry
        session = registry.find(ConversationId(sid))
        if session is not None and is_idle(session):
            await registry.close(ConversationId(sid), "idle")

    async def _looks(self, clients: Clients, sid: str) -> None:
        with self._timed("look"):
            described = await clients.rest.describe(sid)
        if described["session"]["queued"] < 0 or described["status"] not in ("STARTING", "RUNNING", "STOPPED"):
            self.faults.append(f"look: {described}")


async def storm(data_dir: Path, seed: int, *, sessions: int, seconds: float, pause: float) -> Storm:
    """Raises AssertionError where the invariant does not hold."""
    loop = asyncio.get_running_loop()
    unhandled: list[dict[str, Any]] = []
    loop.set_debug(True)
    loop.slow_callback_duration = 10.0
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    (data_dir / "scripts").mkdir(parents=True)
    for name in ("storm", "gale"):
        (data_dir / "scripts" / f"{name}.yaml").write_text(SCRIPT.replace("storm", name))
    before = our_tasks()
    limits = LimitsSection(messages_per_second=0, creates_per_minute=0)
    agent = AgentSection(max_parallel_calls=3, call_prices=PRICES)
    config = Config(data_dir=data_dir, limits=limits, agent=agent, quotas=(PLENTY, SCARCE))
    async with in_process_server(config) as served, Clients(served.url) as clients:
        raging = Storm(served, seed, pause)
        sids = [
            await clients.rest.create(llm_model="scripted:storm", confirmation_mode=bool(number % 2))
            for number in range(sessions)
        ]
        async with asyncio.TaskGroup() as group:
            for sid in sids:
                group.create_task(raging.rage(clients, sid, seconds))
        for sid in sids:
            assert (await clients.rest.ask("POST", f"/api/conversations/{sid}/stop"))[0] == 200
        assert served.house.sessions.live_sessions == 0
        raging.purposes = await check_accounts(served)
        for sid in sids:
            events = [from_wire(event) for event in await clients.rest.events(sid)]
            check_log(events)
            raging.budgets.count(events)
            keys = [getattr(event, "key", None) for event in events]
            assert raging.accepted[sid] <= set(keys), "a message that was accepted is not in the log"
            assert await clients.rest.delete(sid)
    assert raging.faults == []
    assert raging.guests.ends.keys() <= {"revoked", "stopped"}
    assert unhandled == []
    assert our_tasks() <= before, "a task is left behind"
    return raging


@pytest.mark.slow
async def test_a_storm_of_users_leaves_every_log_valid(data_dir: Path) -> None:
    raging = await storm(data_dir, printed_seed(), sessions=6, seconds=6.0, pause=IMPATIENT)
    assert sum(raging.calls.values()) > 50
    assert "main" in raging.purposes


@pytest.mark.long
@pytest.mark.control
@pytest.mark.timeout(300)
@pytest.mark.parametrize("run", range(10))
async def test_fifty_conversations_rage_for_a_minute(data_dir: Path, run: int) -> None:
    raging = await storm(data_dir, printed_seed(), sessions=50, seconds=60.0, pause=PAUSE)
    slowest, name = max(raging.took)
    print(f"{sum(raging.calls.values())} acts, {len(raging.took)} calls, the slowest ({name}) {slowest:.2f} s")
    assert slowest <= SLOWEST
    assert {"main", "seed"} <= raging.purposes
    assert raging.budgets.reserved > 0
