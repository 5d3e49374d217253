"""Operators stop turns, close sessions, set limits and drain the server, and every operator sees it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients, Operator
from tests.support.token_keys import SECRET, by_secret

TOKENS = {"OHS_AUTH__KIND": "tokens", "OHS_AUTH__SECRET": SECRET, "OHS_SERVER__MAX_SESSIONS": "7"}
LIMITS = {"max_sessions": 7, "max_sessions_per_user": 10, "max_sessions_per_address": 50}
OK = {"ok": True}
COMMANDS = ("stop", "close", "set_limits", "drain", "undrain")


@pytest.fixture
async def guarded(data_dir: Path) -> AsyncIterator[Server]:
    async with running_server(data_dir, TOKENS) as server:
        yield server


@pytest.fixture
async def ada(guarded: Server) -> AsyncIterator[Clients]:
    async with Clients(guarded.url, key=by_secret(sub="ada")) as clients:
        yield clients


@pytest.fixture
async def operators(guarded: Server) -> AsyncIterator[tuple[Operator, Operator]]:
    """Two that are connected: one gives commands, the other watches."""
    async with (
        Clients(guarded.url, key=by_secret(sub="olga", role="operator")) as olga,
        Clients(guarded.url, key=by_secret(sub="root", role="admin")) as root,
    ):
        both = olga.operator(), root.operator()
        for operator in both:
            await operator.connect()
            await overview(operator, 1)
        yield both


async def overview(operator: Operator, count: int) -> dict[str, Any]:
    """The newest of so many."""
    await operator.until(lambda: len(operator.overviews) >= count)
    return operator.overviews[-1]


async def test_a_turn_is_stopped_and_the_session_stays(ada: Clients, operators: tuple[Operator, Operator]) -> None:
    olga, _ = operators
    sid = await ada.rest.create("$ sleep 600")
    client = ada.protocol2(sid)
    await client.connect()
    running = await client.until_event(lambda event: event.get("action") == "run")
    answer = await olga.call("stop", {"conversation_id": sid})
    assert (answer["ok"], answer["turn"]) == (True, running["turn"])
    stop = await client.until_event(lambda event: event["id"] == answer["id"])
    assert stop["author"] == "olga"
    await client.until_state("stopped", after=answer["id"])
    assert (await ada.rest.describe(sid))["status"] == "RUNNING"
    assert "turn" not in await olga.call("stop", {"conversation_id": sid})


async def test_a_session_is_closed_and_its_clients_are_told(ada: Clients, operators: tuple[Operator, Operator]) -> None:
    olga, root = operators
    sid = await ada.rest.create()
    client = ada.protocol2(sid)
    await client.connect()
    await client.until_state("awaiting_user_input")
    assert await olga.call("close", {"conversation_id": sid}) == OK
    assert (await client.until_told("ended"))["reason"] == "stopped"
    await root.until(lambda: root.state_of(sid) == "Closed")
    assert (await ada.rest.describe(sid))["status"] == "STOPPED"
    answer = await olga.call("close", {"conversation_id": sid})
    assert answer["code"] == "not_found"


async def test_limits_hold_at_once_and_every_operator_sees_them(
    ada: Clients, operators: tuple[Operator, Operator]
) -> None:
    olga, root = operators
    assert (await overview(root, 1))["limits"] == LIMITS
    sid = await ada.rest.create("$ sleep 600")
    client = ada.protocol2(sid)
    await client.connect()
    await client.until_event(lambda event: event.get("action") == "run")
    assert await olga.call("set_limits", {"max_sessions_per_user": 1}) == OK
    for operator in operators:
        told = await overview(operator, 2)
        assert told["limits"] == {**LIMITS, "max_sessions_per_user": 1}
        assert [session["conversation_id"] for session in told["sessions"]] == [sid]
    status, refused = await ada.rest.ask("POST", "/api/conversations", {})
    assert (status, refused["code"], refused["limit"], refused["count"]) == (429, "limit_reached", 1, 1)
    assert await olga.call("set_limits", {"max_sessions_per_user": 5, "max_sessions": 9}) == OK
    assert (await overview(root, 3))["limits"] == {**LIMITS, "max_sessions_per_user": 5, "max_sessions": 9}
    await ada.rest.create()


async def test_a_server_that_drains_says_so_and_begins_no_session(
    ada: Clients, operators: tuple[Operator, Operator]
) -> None:
    olga, root = operators
    sid = await ada.rest.create()
    client = ada.protocol2(sid)
    await client.connect()
    await client.until_state("awaiting_user_input")
    assert (await ada.rest.ask("GET", "/health/ready"))[0] == 200
    assert await olga.call("drain", {}) == OK
    assert (await overview(root, 2))["draining"]
    status, told = await ada.rest.ask("GET", "/health/ready")
    assert (status, told["code"], "draining" in told["message"]) == (503, "at_capacity", True)
    status, told = await ada.rest.ask("POST", "/api/conversations", {})
    assert (status, told["code"]) == (503, "at_capacity")
    said = await client.say("$ echo still here")
    await client.until_state("awaiting_user_input", after=said)
    listing = ada.list()
    await listing.connect()
    await listing.until_row(sid, state="Ready")
    assert await olga.call("undrain", {}) == OK
    assert not (await overview(root, 3))["draining"]
    assert (await ada.rest.ask("GET", "/health/ready"))[0] == 200
    await ada.rest.create()


@pytest.mark.parametrize(
    ("name", "values", "field"),
    [
        ("oh_user_action", [{"action": "message", "args": {"content": "hi"}}], "the event"),
        *((name, [], name) for name in COMMANDS),
        *((name, [{}, {}], name) for name in COMMANDS),
        *((name, [7], "the payload") for name in COMMANDS),
        *((name, [{"x": 1}], "x") for name in ("set_limits", "drain", "undrain")),
        *((name, [{}], "conversation_id") for name in ("stop", "close")),
        *((name, [{"conversation_id": "../x"}], "conversation_id") for name in ("stop", "close")),
        ("set_limits", [{}], "set_limits"),
        ("set_limits", [{"max_sessions": 0}], "max_sessions"),
        ("set_limits", [{"max_sessions": "9"}], "max_sessions"),
        ("set_limits", [{"max_sessions": 9, "max_sessions_per_user": -1}], "max_sessions_per_user"),
        ("set_limits", [{"max_sessions": 9, "max_sessions_per_address": 1.5}], "max_sessions_per_address"),
    ],
    ids=str,
)
async def test_wrong_input_is_named_and_changes_nothing(
    operators: tuple[Operator, Operator], name: str, values: list[object], field: str
) -> None:
    olga, _ = operators
    answer = await olga.call(name, *values)
    assert (answer["ok"], answer["code"], answer["field"]) == (False, "bad_input", field), answer
    assert await olga.call("undrain", {}) == OK
    told = await overview(olga, 2)
    assert (told["limits"], told["draining"]) == (LIMITS, False)


async def test_what_is_not_live_is_not_found(operators: tuple[Operator, Operator]) -> None:
    for name in ("stop", "close"):
        answer = await operators[0].call(name, {"conversation_id": "unknown"})
        assert (answer["ok"], answer["code"]) == (False, "not_found")


async def test_limits_of_users_are_refused_where_users_are_not_told_apart(clients: Clients) -> None:
    operator = clients.operator()
    await operator.connect()
    answer = await operator.call("set_limits", {"max_sessions": 3, "max_sessions_per_user": 3})
    assert (answer["code"], answer["field"]) == ("bad_input", "max_sessions_per_user")
    assert (await overview(operator, 1))["limits"]["max_sessions"] != 3
