"""A server that gets fuzzed input, an undisturbed conversation on it, and a check that nothing is left over."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import jsonschema_rs

from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.ports.store import ConversationRow
from tests.support.running_server import Server, prepared_server
from tests.support.server_clients import Clients
from tests.support.socket_clients import Protocol2Client

WATCHED = ("-m", "tests.support.task_reporting_server", "serve")
MESSAGE_BYTES = 100_000
LIMITS = {
    "OHS_LLM__MODEL": "scripted:calm",
    "OHS_LIMITS__MESSAGE_BYTES": str(MESSAGE_BYTES),
    "OHS_LIMITS__MESSAGES_PER_SECOND": "100000",
    "OHS_LIMITS__MESSAGES_BURST": "100000",
}
CALM = "name: calm\nreplies:\n  - {when: nothing like it, steps: [{say: No.}]}\nover: Yes.\n"
THEIRS = "somebody-elses"
"""A conversation of another user's."""
MEGABYTES = 60.0
LONGEST_DELAY = 15.0
"""Seconds in which another conversation's message is taken up and answered."""
LOOKS = 50
"""How often the server's tasks are looked at until they are as few as they were."""
PASSING = ("RequestHandler.start", "AsyncSocket._send_ping")
"""Tasks that outlive what they are for by half a minute at most: kept HTTP connections, and engine.io's pings."""


@dataclass
class FuzzedServer:
    """A server under fire, and who talks to it meanwhile."""

    server: Server
    clients: Clients
    document: Mapping[str, Any]
    calm: Protocol2Client
    delays: list[float] = field(default_factory=list)

    @property
    def defs(self) -> Mapping[str, Any]:
        defs: Mapping[str, Any] = self.document["$defs"]
        return defs

    @property
    def payloads(self) -> Mapping[str, Any]:
        """The schema of each message's payload, by its name."""
        return {name: payload for name, (_, payload) in self._messages().items()}

    @property
    def said(self) -> Mapping[str, Any]:
        """Those of the events that a server emits."""
        answers = ("refusal", "acknowledgement")
        found = self._messages().items()
        return {name: payload for name, (sender, payload) in found if sender == "server" and name not in answers}

    def _messages(self) -> Mapping[str, tuple[str, Any]]:
        found = {}
        for each in self.document["oneOf"]:
            fields = self.defs[each["$ref"].rpartition("/")[2]]["properties"]
            found[fields["name"]["const"]] = (fields["sender"]["const"], fields["payload"])
        return found

    def validator(self, schema: Mapping[str, Any]) -> Any:
        return jsonschema_rs.validator_for({**schema, "$defs": self.defs})


@asynccontextmanager
async def fuzzed_server(data_dir: Path) -> AsyncIterator[FuzzedServer]:
    """A server with a conversation that goes on undisturbed; in the end, nothing must be left of what was sent."""
    pipe = data_dir.with_suffix(".pipe")
    os.mkfifo(pipe)
    async with AsyncExitStack() as stack:
        program = prepared_server(data_dir, {**LIMITS, "TASKS_PIPE": str(pipe)}, program=WATCHED)
        server = await stack.enter_async_context(program)
        server.script("calm", CALM)
        await _somebody_else(data_dir)
        await server.start()
        clients = await stack.enter_async_context(Clients(server.url))
        _, document = await clients.rest.ask("GET", "/api/socket.schema.json")
        calm = clients.protocol2(await clients.rest.create())
        await calm.connect()
        place = FuzzedServer(server, clients, document, calm)
        await _warm_up(place)
        memory, tasks = server.memory(), await _most_tasks(server, pipe)
        talking = asyncio.create_task(_talk(place), name="talking")
        try:
            yield place
        finally:
            talking.cancel()
            await asyncio.wait([talking])
        assert talking.cancelled(), talking.exception()
        await _calm_in_the_end(place)
        await _quiet(place, tasks, pipe)
        grown = server.memory() - memory
        print(f"memory {memory:.0f} MB, {grown:.0f} MB more; the longest delay {max(place.delays):.3f} s")
        assert grown < MEGABYTES
        assert not _errors(server.log)


def _errors(log: str) -> list[str]:
    """Lines that tell of an error, but for engine.io's of a handshake that it refuses."""
    lines = [line for line in log.splitlines() if '"level":"error"' in line or "Traceback" in line]
    return [line for line in lines if "further occurrences" not in line]


async def _somebody_else(data_dir: Path) -> None:
    """A conversation of another user's."""
    moment = datetime.now(UTC)
    row = ConversationRow(
        id=ConversationId(THEIRS), owner=OwnerId("somebody else"), created_at=moment, updated_at=moment
    )
    async with open_sqlite(data_dir / "sessions.db") as store:
        await store.conversations.create(row)


async def _talk(place: FuzzedServer) -> None:
    """Speak and be answered, over and over."""
    while True:
        begun = time.monotonic()
        said = await place.calm.say("Are you there?")
        await place.calm.until_state("awaiting_user_input", after=said)
        place.delays.append(time.monotonic() - begun)


async def _warm_up(place: FuzzedServer) -> None:
    """What the first of its kind costs is no leak: a model's name that is looked up loads the library of models."""
    path = f"/api/conversations/{place.calm.sid}/model"
    status, _ = await place.clients.rest.ask("PUT", path, {"model": "unknown/none"})
    assert status == 422
    for _ in range(20):
        said = await place.calm.say("Good morning.")
        await place.calm.until_state("awaiting_user_input", after=said)


async def _calm_in_the_end(place: FuzzedServer) -> None:
    log = await place.clients.rest.events(place.calm.sid)
    await place.calm.until_id(log[-1]["id"])
    assert place.calm.events == log
    assert place.calm.faults == []
    assert len(place.calm.visits) == 1
    assert max(place.delays) < LONGEST_DELAY


async def lives_on(place: FuzzedServer, sid: str) -> None:
    """The conversation goes on, and its log holds nothing but events."""
    client = place.clients.protocol2(sid)
    await client.connect()
    said = await client.say(f"Go on. {uuid4()}")
    await client.until_state("awaiting_user_input", after=said)
    log = await place.clients.rest.events(sid)
    assert [event["id"] for event in log] == list(range(len(log)))
    event = place.validator({"$ref": "#/$defs/Event"})
    for each in log:
        event.validate(each)
    assert client.faults == []
    await client.leave()


async def only_these_are_left(place: FuzzedServer, expected: set[str]) -> None:
    """There is no conversation but these: whoever is refused leaves none."""
    found: set[str] = set()
    after: str | None = ""
    while after is not None:
        _, page = await place.clients.rest.ask("GET", "/api/conversations", limit=100, page_id=after)
        found |= {each["conversation_id"] for each in page["results"]}
        after = page["next_page_id"]
    assert found <= expected, found - expected


async def _quiet(place: FuzzedServer, before: Counter[str], pipe: Path) -> None:
    """Every conversation but one is over, and with it every task that was its own."""
    after: str | None = ""
    while after is not None:
        _, page = await place.clients.rest.ask("GET", "/api/conversations", limit=100, page_id=after)
        for each in page["results"]:
            if each["conversation_id"] != place.calm.sid and each["status"] != "STOPPED":
                await place.clients.rest.ask("POST", f"/api/conversations/{each['conversation_id']}/stop")
        after = page["next_page_id"]
    left = before
    for _ in range(LOOKS):
        left = await _tasks(place.server, pipe) - before
        if not left:
            return
        await asyncio.sleep(0.2)  # nothing tells us when a task ends in another process
    raise AssertionError(f"still there: {left}")


async def _most_tasks(server: Server, pipe: Path) -> Counter[str]:
    """The tasks of a server at rest, the short pauses between two of them left out."""
    most: Counter[str] = Counter()
    for _ in range(5):
        most |= await _tasks(server, pipe)
        await asyncio.sleep(0.05)
    return most


async def _tasks(server: Server, pipe: Path) -> Counter[str]:
    """The tasks of the server by what they run."""
    reading = asyncio.create_task(asyncio.to_thread(pipe.read_text), name="tasks")
    os.kill(server.pid, signal.SIGUSR1)
    runs = [line.rpartition(": ")[2] for line in (await reading).splitlines()]
    return Counter(run for run in runs if run not in PASSING)
