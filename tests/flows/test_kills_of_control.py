"""Servers that are killed while the history is compacted, or while messages wait: each takes effect once."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from openhands_sessions.adapters.window_condenser import SUMMARY_PROMPT
from openhands_sessions.core.events.codec import from_wire
from tests.support.crash_scenario import DEAD
from tests.support.log_invariant import check_log
from tests.support.model_replies import Reply
from tests.support.model_scripts import last_user_text
from tests.support.model_server import MODEL, model_server
from tests.support.running_server import FAILING, running_server
from tests.support.server_clients import Clients

WAITING = "awaiting_user_input"
TURNS = 6
WORDS = "many words " * 40
WORKS = "$ until [ -e go ]; do sleep 0.05; done"
SAMPLE = "append:1:after"
AT_APPENDS = [f"append:{number}:{side}" for number in range(3) for side in ("before", "after")]


def kills(moments: Sequence[str]) -> Sequence[object]:
    """Most of them are for the long tests."""
    return [pytest.param(moment, marks=[] if moment == SAMPLE else [pytest.mark.long]) for moment in moments]


async def events_of(clients: Clients, sid: str) -> list[dict[str, Any]]:
    """The log, which is as every log must be."""
    log: list[dict[str, Any]] = await clients.rest.events(sid)
    check_log([from_wire(event) for event in log])
    return log


def answers(body: Mapping[str, Any]) -> Reply:
    return Reply(text="the summary" if SUMMARY_PROMPT in last_user_text(body) else WORDS)


def with_a_summary_that_never_ends(body: Mapping[str, Any]) -> Reply:
    return Reply(text="the summary", gate=asyncio.Event())


async def told(clients: Clients, sid: str) -> dict[str, Any]:
    """Of a compaction with a key."""
    status, told = await clients.rest.ask(
        "POST", f"/api/conversations/{sid}/history", {"action": "compact", "key": "once"}
    )
    assert (status, told["action"]) == (200, "compact"), told
    answer: dict[str, Any] = told
    return answer


@pytest.mark.parametrize("kill", kills(["append:0:before", "append:0:after", "while the model writes"]))
async def test_a_server_that_is_killed_in_a_compaction_compacts_once(data_dir: Path, kill: str) -> None:
    async with running_server(data_dir, program=FAILING) as server, model_server(answers) as model:
        chosen = {"llm_model": f"openai/{MODEL}", "llm_base_url": model.url, "llm_api_key": "sk-loopback"}
        async with Clients(server.url) as clients:
            sid = await clients.rest.create("turn 0", **chosen)
            client = clients.protocol2(sid)
            await client.connect()
            await client.until_state(WAITING, after=3)
            for number in range(1, TURNS):
                await client.until_state(WAITING, after=await client.say(f"turn {number}"))
        await server.killed()
        await server.start(*(["--kill", kill] if kill.startswith("append") else []))
        async with Clients(server.url) as clients:
            if not kill.startswith("append"):
                model.play(with_a_summary_that_never_ends)
            compacting = asyncio.create_task(told(clients, sid))
            if not kill.startswith("append"):
                await model.asked(TURNS + 1)
                server.kill()
            with suppress(*DEAD):
                await compacting
        assert await server.ended() == -9
        model.play(answers)
        await server.start()
        async with Clients(server.url) as clients:
            assert await told(clients, sid) == await told(clients, sid)
            client = clients.protocol2(sid)
            await client.connect()
            await client.until_state(WAITING, after=await client.say("and on"))
            log = await events_of(clients, sid)
            assert [event.get("action") for event in log].count("condensation") == 1


AT_SEEDING = [f"append:{number}:{side}" for number in range(2) for side in ("before", "after")]
SEED_AT = ["reserve:0:after", *AT_SEEDING, "give_back:1:after"]
"""The reservation of a seed's call, its record with the charge, the summary, and the end of the reservation."""
EARLIER = {
    "messages": [{"role": "user", "content": "build a boat"}, {"role": "assistant", "content": "the hull is done"}]
}


async def seeded(clients: Clients, sid: str) -> dict[str, Any]:
    """A seed with a key."""
    body = {"action": "seed", "args": EARLIER, "key": "once"}
    status, told = await clients.rest.ask("POST", f"/api/conversations/{sid}/history", body)
    assert (status, told["action"]) == (200, "seed"), told
    answer: dict[str, Any] = told
    return answer


@pytest.mark.parametrize("kill", kills([*SEED_AT, "while the model writes"]))
async def test_a_server_that_is_killed_in_a_seed_seeds_once_and_charges_what_it_has_recorded(
    data_dir: Path, kill: str
) -> None:
    quotas = {"OHS_QUOTAS": json.dumps([{"models": "*", "tokens": 10**9}])}
    async with running_server(data_dir, quotas, program=FAILING) as server, model_server(answers) as model:
        chosen = {"llm_model": f"openai/{MODEL}", "llm_base_url": model.url, "llm_api_key": "sk-loopback"}
        async with Clients(server.url) as clients:
            sid = await clients.rest.create(**chosen)
            await clients.until_ready(sid)
        await server.stopped()
        at_a_boundary = ":" in kill
        await server.start(*(["--kill", kill] if at_a_boundary else []))
        if not at_a_boundary:
            model.play(with_a_summary_that_never_ends)
        async with Clients(server.url) as clients:
            seeding = asyncio.create_task(seeded(clients, sid))
            if not at_a_boundary:
                await model.asked(1)
                server.kill()
            with suppress(*DEAD):
                await seeding
        assert await server.ended() == -9
        model.play(answers)
        await server.start()
        async with Clients(server.url) as clients:
            assert await seeded(clients, sid) == await seeded(clients, sid)
            log = await events_of(clients, sid)
            assert [event.get("action") for event in log].count("history_seeded") == 1
            _, usage = await clients.rest.ask("GET", "/api/usage")
        calls = [event["extras"] for event in log if event.get("observation") == "model_called"]
        used = sum(call["prompt_tokens"] + call["completion_tokens"] for call in calls)
        assert sum(entry["calls"] for entry in usage["entries"]) == len(calls)
        assert sum(entry["prompt_tokens"] + entry["completion_tokens"] for entry in usage["entries"]) == used > 0
        assert usage["quotas"][0]["taken"]["tokens"] == used, "nothing stays reserved"


@pytest.mark.parametrize("boundary", kills(AT_APPENDS))
async def test_a_server_that_is_killed_with_a_queue_works_it_off_once_and_in_order(
    data_dir: Path, boundary: str
) -> None:
    async with running_server(data_dir, program=FAILING) as server:
        async with Clients(server.url) as clients:
            sid = await clients.rest.create(WORKS)
            client = clients.protocol2(sid)
            await client.connect()
            await client.until_event(lambda event: event.get("action") == "run")
            for name in "abc":
                body = {"content": f"$ echo {name} >> notes", "mode": "queue", "key": name}
                assert (await clients.rest.ask("POST", f"/api/conversations/{sid}/messages", body))[0] == 200
        await server.killed()
        (server.workspace(sid) / "go").touch()
        await server.start("--kill", boundary)
        assert await server.ended() == -9
        await server.start()
        async with Clients(server.url) as clients:
            client = clients.protocol2(sid)
            await client.connect()
            last = await client.until_event(
                lambda event: event.get("action") == "message" and event["args"].get("key") == "c"
            )
            await client.until_state(WAITING, after=last["id"])
            assert (server.workspace(sid) / "notes").read_text() == "a\nb\nc\n"
            log = await events_of(clients, sid)
            begun = [event["args"]["content"] for event in log if event.get("action") == "message"]
            assert [words for words in begun if "notes" in words] == [f"$ echo {name} >> notes" for name in "abc"]
