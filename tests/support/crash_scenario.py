"""A fixed conversation that is played to its end while the server dies at chosen calls; and the checks."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import aiohttp

from tests.support.event_summaries import (
    ENDLESS,
    Event,
    check_actions,
    command_of,
    confirmation_of,
    outline,
    shown,
    turn_is_owed,
)
from tests.support.running_server import Server, ServerEnded
from tests.support.server_clients import Clients
from tests.support.socket_clients import Protocol2Client
from tests.support.socket_connection import ConnectionCut

MAIN, ASKING = "main", "asking"
MARK = "echo $OHS_ACTION_ID >> ran; echo $$ >> shells"
SCRIPT = f"""\
name: story
replies:
  - when: first
    steps:
      - {{say: "I begin with a look.", delay: 0.01, piece: 4, call: execute_bash,
         with: {{command: "{MARK}; X=kept; echo one"}}}}
      - {{call: execute_bash, with: {{command: "{MARK}; echo begun; sleep 1; echo over"}}}}
      - {{call: str_replace_editor, with: {{command: create, path: notes, file_text: "a\\n"}}}}
      - calls:
          - {{call: execute_bash, with: {{command: "{MARK}; echo of two; sleep 0.2; echo first"}}}}
          - {{call: execute_bash, with: {{command: "{MARK}; echo of two; echo second"}}}}
      - {{call: str_replace_editor, with: {{command: insert, path: notes, insert_line: 1, new_str: b}}}}
      - {{call: execute_bash, with: {{command: "{MARK}; echo $X; cat notes"}}}}
      - {{say: "The first is done.", delay: 0.01, piece: 3}}
  - when: second
    steps:
      - {{call: execute_bash, with: {{command: "{MARK}; echo agreed; sleep 0.3; echo over"}}}}
      - {{say: "The second is done."}}
  - when: third
    steps:
      - {{call: execute_bash, with: {{command: "{MARK}; echo waiting; sleep 100"}}}}
      - {{say: "Never said."}}
"""
WAITING = "awaiting_user_input"
OWED_WITHIN = 60.0
"""Seconds in which something must happen where something is owed."""
DEAD = (ConnectionCut, aiohttp.ClientError, ServerEnded)
"""What a client notices of a server's death."""


@dataclass
class PlannedDeaths:
    """How the servers of a story die: each of the first at the boundary that is named, the one that runs when the
    first message is sent so many seconds later, if `moment` is set. The next server keeps a tally of its boundaries."""

    kills: Sequence[str] = ()
    moment: float | None = None
    tally: Path | None = None
    happened: int = 0


class CrashScenario:
    """Tells it. Whenever the server dies another one is started, and left to itself until nothing is owed."""

    def __init__(self, server: Server, clients: Clients, deaths: PlannedDeaths) -> None:
        self.acknowledged: dict[str, tuple[str, int]] = {}
        """For each key, the conversation and the id."""
        self._server = server
        self._server_clients = clients
        self._deaths = deaths
        self._left = list(deaths.kills)
        self._clients = {sid: clients.protocol2(sid) for sid in (MAIN, ASKING)}
        self._model = server.script("story", SCRIPT)

    async def tell(self) -> None:
        """From the start of the first server to the last event."""
        await self._survive(self._start)
        main, asking = self._clients[MAIN], self._clients[ASKING]
        await self._survive(lambda: self._say(main, "first"))
        await self._survive(lambda: self._until(main, WAITING, "first"))
        await self._survive(lambda: self._say(asking, "second"))
        await self._survive(lambda: self._until(asking, "awaiting_user_confirmation", "second"))
        await self._survive(self._confirm)
        await self._survive(lambda: self._until(asking, WAITING, "confirm"))
        await self._survive(lambda: self._say(main, "third"))
        await self._survive(self._stop)
        await self._survive(lambda: self._until(main, "stopped", "stop"))

    async def _start(self) -> None:
        tally = [] if self._deaths.tally is None else ["--tally", str(self._deaths.tally)]
        await self._server.start(*(["--kill", self._left.pop(0)] if self._left else tally))

    async def _survive(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await step()
            except DEAD:
                assert await self._server.ended() == -9
                self._deaths.happened += 1
                await self._start_again()

    async def _start_again(self) -> None:
        while True:
            try:
                await self._start()
                return await self._left_to_itself()
            except DEAD:
                assert await self._server.ended() == -9
                self._deaths.happened += 1

    async def _left_to_itself(self) -> None:
        """Wait, without being a client of any conversation, until nothing is owed."""
        operator = self._server_clients.operator()
        await operator.connect()
        while True:
            seen = len(operator.changes)
            waiting = [log for log in [await self._log(sid) for sid in (MAIN, ASKING)] if turn_is_owed(log)]
            if not waiting:
                break
            try:
                await operator.until(partial(_more_than, operator.changes, seen), within=OWED_WITHIN)
            except TimeoutError:
                lasts = [shown(log[-6:]) for log in waiting]
                raise TimeoutError(f"nobody goes on: {lasts}, {operator.changes[-3:]}, {self._server.log}") from None
        await operator.leave()

    async def _log(self, sid: str) -> list[Event]:
        if await self._server_clients.rest.describe(sid) is None:
            return []
        return await self._server_clients.rest.events(sid)

    async def _connected(self, client: Protocol2Client) -> None:
        if not client.connected:
            settings = {"llm_model": self._model, "confirmation_mode": client.sid == ASKING}
            await client.connect(create={"settings": settings})

    async def _say(self, client: Protocol2Client, text: str) -> None:
        await self._connected(client)
        if text == "first" and self._deaths.moment is not None and not self._deaths.happened:
            asyncio.get_running_loop().call_later(self._deaths.moment, self._server.kill)
        self._acknowledge(client, text, await client.say(text, key=text))

    async def _confirm(self) -> None:
        client = self._clients[ASKING]
        await self._connected(client)
        asked = await client.until_event(lambda event: confirmation_of(event) == "awaiting_confirmation")
        self._acknowledge(client, "confirm", await client.order("user_confirmed", key="confirm", id=asked["id"]))

    async def _stop(self) -> None:
        client = self._clients[MAIN]
        await self._connected(client)
        await client.until_event(lambda event: ENDLESS in command_of(event))
        self._acknowledge(client, "stop", await client.order("stopped", key="stop"))

    async def _until(self, client: Protocol2Client, state: str, key: str) -> None:
        await self._connected(client)
        await client.until_state(state, after=self.acknowledged[key][1])

    def _acknowledge(self, client: Protocol2Client, key: str, event_id: int) -> None:
        known = self.acknowledged.setdefault(key, (client.sid, event_id))
        assert known == (client.sid, event_id), "the same key was answered in two ways"

    async def check(self) -> dict[str, list[str]]:
        """Judge the logs; what happened in each, in few words."""
        outlines = {}
        for sid, client in self._clients.items():
            log = await self._server_clients.rest.events(sid)
            assert [event["id"] for event in log] == list(range(len(log)))
            assert client.events == log
            assert client.faults == []
            check_actions(log, self._server.workspace(sid), sid)
            outlines[sid] = outline(log)
        for key, (sid, event_id) in self.acknowledged.items():
            event = self._clients[sid].events[event_id]
            assert event["source"] == "user"
            assert key in (event["args"].get("content"), "confirm", "stop")
        return outlines


def _more_than(changes: Sequence[object], count: int) -> bool:
    return len(changes) > count


def spread_points(points: Sequence[str], count: int, rng: Random) -> list[str]:
    """So many of the points, one at random from each stretch."""
    stretch = len(points) / count
    return [points[int(place * stretch + rng.random() * stretch)] for place in range(count)]
