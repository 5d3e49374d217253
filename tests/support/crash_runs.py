"""Conversations that go on while their server, executor, container or Docker daemon is killed; and the checks."""

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from random import Random

import aiohttp
from docker.errors import APIError

from openhands_sessions.adapters.runtimes.executor_client.connection import listener_pid
from openhands_sessions.adapters.runtimes.local.paths import SandboxPaths
from openhands_sessions.core.events.observations import NO_EXIT_CODE, NOT_RUN_ID, UNKNOWN_OUTCOME_ID
from openhands_sessions.core.ids import ConversationId, EventId, action_key
from tests.support.docker_mortal import MortalEngine
from tests.support.event_summaries import Event, kind_of, shown
from tests.support.running_server import Server
from tests.support.server_clients import Clients
from tests.support.socket_connection import ConnectionCut, ConnectionRefused

MARK = "echo $OHS_ACTION_ID >> ran"
CODE = 3
"""With which every command of `work` ends."""
SCRIPT = f"""\
name: ordeal
replies:
  - when: work
    steps:
      - {{call: execute_bash, with: {{command: "{MARK}; echo begun; sleep 0.3; echo over; (exit {CODE})"}}}}
      - {{call: execute_bash, with: {{command: "echo begun; sleep 0.3; {MARK}; echo over; (exit {CODE})"}}}}
      - {{call: execute_bash, with: {{command: "echo begun; (sleep 0.2; {MARK}) | cat; echo over; (exit {CODE})"}}}}
      - {{say: "Done."}}
  - when: check
    steps:
      - {{call: execute_bash, with: {{command: "{MARK}; echo alive; (exit {CODE})"}}}}
      - {{say: "Checked."}}
"""
TURN_WITHIN = 60.0
_KNOCK_AGAIN = 0.05
"""Seconds between two tries to connect where the server is there, but the conversation is not yet."""
_GONE = (ConnectionCut, ConnectionRefused, aiohttp.ClientError)


class CrashedConversation:
    """One conversation, and a client that does not let go of it. `calm` is set while nothing is known to be down."""

    def __init__(self, clients: Clients, sid: str, place: SandboxPaths, calm: asyncio.Event) -> None:
        self.sid = sid
        self.place = place
        self.client = clients.protocol2(sid)
        self.acknowledged: dict[str, int] = {}
        """For each message's key, its id."""
        self._calm = calm

    @property
    def at_work(self) -> bool:
        """Whether a command runs, or is about to."""
        return bool(self.client.events) and self.client.events[-1].get("action") == "run"

    async def go_on(self, over: asyncio.Event) -> None:
        """Have it work until it is over, and then once more."""
        turns = 0
        while not over.is_set():
            turns += 1
            await self.turn("work", f"{self.sid}-{turns}")
        await self.turn("check", f"{self.sid}-last")

    async def turn(self, text: str, key: str) -> None:
        """Say something and see the turn end, over as many connections as it takes."""
        try:
            async with asyncio.timeout(TURN_WITHIN):
                await self._calm.wait()
                while not await self._tried(text, key):
                    await asyncio.sleep(_KNOCK_AGAIN)
                    await self._calm.wait()
        except TimeoutError:
            raise TimeoutError(f"{key}: no end; the last events: {shown(self.client.events[-8:])}") from None

    async def _tried(self, text: str, key: str) -> bool:
        client = self.client
        try:
            if not client.connected:
                await client.connect()
            answer = await client.command("message", content=text, key=key)
            if not answer["ok"]:
                await client.leave()
                return False
            known = self.acknowledged.setdefault(key, answer["id"])
            assert known == answer["id"], "the same key was answered in two ways"
            await client.until_event(lambda event: _ends(event, known), after=known, within=TURN_WITHIN)
        except _GONE:
            return False
        return True

    def check(self, log: list[Event]) -> Counter[str]:
        """Judge the log against what the commands have left behind; how many actions ended how."""
        assert [event["id"] for event in log] == list(range(len(log)))
        assert self.client.events == log
        assert self.client.faults == []
        for key, event_id in self.acknowledged.items():
            assert kind_of(log[event_id]) == "action:message", key
            assert log[event_id]["source"] == "user", key
        endings, last = _judged(log, Counter((self.place.workspace / "ran").read_text().split()), self.sid)
        assert last == "done", shown(log[-8:])
        return endings


def _ends(event: Event, message: int) -> bool:
    """Whether it ends a turn in which the message was taken up."""
    return event.get("observation") == "turn_ended" and int(event["extras"]["seen"]) >= message


def _judged(log: list[Event], ran: Counter[str], sid: str) -> tuple[Counter[str], str]:
    """How many actions ended how, and how the last one did."""
    assert [key for key, times in ran.items() if times > 1] == [], "a command ran twice"
    actions = [event for event in log if event.get("action") == "run"]
    left = set(ran)
    ending = ""
    endings: Counter[str] = Counter()
    for action in actions:
        answers = [event for event in log if "observation" in event and event.get("cause") == action["id"]]
        assert len(answers) == 1, f"action {action['id']} has {len(answers)} results"
        key = action_key(ConversationId(sid), EventId(action["id"]))
        ending, allowed = _ending(answers[0])
        assert ran[key] in allowed, f"{ending}, but it was done {ran[key]} times: {answers[0]}"
        left.discard(key)
        endings[ending] += 1
    assert left == set(), "what ran is not in the log"
    return endings, ending


def _ending(answer: Event) -> tuple[str, tuple[int, ...]]:
    """What an observation says, and how often the command may then have left its mark."""
    match answer:
        case {"observation": "run", "extras": {"metadata": {"exit_code": code}}} if code == CODE:
            assert answer["content"].split() in (["begun", "over"], ["alive"]), answer
            return "done", (1,)
        case {"observation": "run", "extras": {"metadata": {"exit_code": code}}} if code == NO_EXIT_CODE:
            assert "ended by force" in answer["content"], answer
            return "ended by force", (0, 1)
        case {"observation": "error", "extras": {"error_id": error}} if error == UNKNOWN_OUTCOME_ID:
            return "unknown", (0, 1)
        case {"observation": "error", "extras": {"error_id": error}} if error == NOT_RUN_ID:
            return "not run", (0,)
    raise AssertionError(f"neither an outcome nor an unknown one: {answer}")


VICTIMS = ("server", "executor", "container", "removal", "daemon")
TOGETHER = (("daemon", "server"), ("container", "server"), ("executor", "server"), ("removal", "daemon"))
"""Victims that die at once, in this order; only the first may have to be waited for."""
COMMAND = 0.5
"""About how many seconds a command takes, its way to the sandbox included."""
_DOWN = 0.7
"""Seconds that a daemon stays down at most."""
_THERE_WITHIN = 60.0
_LOOK_AGAIN = 0.01
"""Seconds between two looks for what comes by itself: nothing tells of it."""


@dataclass(frozen=True)
class Kill:
    """So many seconds after a command has been given in the talk of this number, these die."""

    talk: int
    moment: float
    victims: tuple[str, ...]
    down: float


def planned_kills(rng: Random, count: int, talks: int) -> list[Kill]:
    """So many deaths, each victim about as often as the others."""
    kills: list[Kill] = []
    while (left := count - sum(len(kill.victims) for kill in kills)) > 0:
        victims = rng.choice(TOGETHER) if left > 1 and rng.random() < 0.2 else (rng.choice(VICTIMS),)
        kills.append(Kill(rng.randrange(talks), rng.uniform(0, COMMAND), victims, rng.uniform(0, _DOWN)))
    return kills


class Killer:
    """Carries out kills one after another. `calm` is cleared from a death to the end of its repair."""

    def __init__(
        self, server: Server, mortal: MortalEngine, talks: list[CrashedConversation], calm: asyncio.Event
    ) -> None:
        self._server = server
        self._mortal = mortal
        self._talks = talks
        self._calm = calm

    async def kill(self, kill: Kill) -> None:
        talk = self._talks[kill.talk]
        await self._at_work(talk)
        await asyncio.sleep(kill.moment)
        for victim in kill.victims:
            if victim in ("server", "daemon"):  # whereas a sandbox may yet have to be made, which takes calm
                self._calm.clear()
            await self._end(victim, talk)
        if "server" in kill.victims:
            await self._server.start()
        if "daemon" in kill.victims:
            await asyncio.sleep(kill.down)
            await asyncio.to_thread(self._mortal.daemon.revive)
        self._calm.set()

    async def _at_work(self, talk: CrashedConversation) -> None:
        while True:
            with contextlib.suppress(ConnectionCut):
                return await talk.client.until(lambda: talk.at_work)
            await asyncio.sleep(_LOOK_AGAIN)

    async def _end(self, victim: str, talk: CrashedConversation) -> None:
        match victim:
            case "server":
                await self._server.killed()
            case "daemon":
                await asyncio.to_thread(self._mortal.daemon.kill)
            case "executor":
                await self._once_there(partial(_end_executor, talk.place))
            case _:
                end = partial(_end_container, self._mortal, talk.place, remove=victim == "removal")
                await self._once_there(partial(asyncio.to_thread, end))

    async def _once_there(self, end: Callable[[], Awaitable[bool]]) -> None:
        """A sandbox may just be on its way."""
        async with asyncio.timeout(_THERE_WITHIN):
            while True:
                if await end():
                    return
                await asyncio.sleep(_LOOK_AGAIN)


async def _end_executor(place: SandboxPaths) -> bool:
    pid = await listener_pid(place.socket)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
    return pid is not None


def _end_container(mortal: MortalEngine, place: SandboxPaths, *, remove: bool) -> bool:
    with contextlib.closing(mortal.engine.client()) as client:
        for container in client.containers.list(filters={"name": place.folder.name}):
            with contextlib.suppress(APIError):  # it has ended meanwhile, or begins only now
                container.remove(force=True) if remove else container.kill()
                return True
    return False
