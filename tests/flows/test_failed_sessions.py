"""A session that cannot be set up is no dead end: whoever comes sees why, and goes on once the cause is mended."""

import pytest

from tests.support.event_summaries import Event, state_of
from tests.support.running_server import Server
from tests.support.server_clients import Clients
from tests.support.socket_clients import Protocol2Client, V0Client

ANSWERS = """\
name: spoilt
replies:
  - steps:
      - {say: "Hello."}
"""


@pytest.fixture
def server(shared_server: Server) -> Server:
    return shared_server


async def test_a_failed_session_lets_a_client_in_which_sees_the_reason_and_goes_on(
    server: Server, clients: Clients
) -> None:
    model = server.script("spoilt", "nonsense")
    operator = clients.operator()
    await operator.connect()
    sid = await clients.rest.create(llm_model=model)
    await operator.until(lambda: operator.states_of(sid)[-1:] == ["Error"])
    shown = await clients.rest.describe(sid)
    assert (shown["status"], shown["runtime_status"]) == ("RUNNING", "STATUS$ERROR")
    assert (shown["session"]["state"], shown["session"]["runtime_status"]) == ("Error", "STATUS$ERROR")
    _, listed = await clients.rest.ask("GET", "/api/conversations")
    assert listed["results"] == [shown]
    web = clients.v0(sid)
    await web.connect()
    told = await web.until_state("error")
    assert told["extras"]["reason"].startswith("the session could not be set up: ")
    await web.leave()

    server.script("spoilt", ANSWERS)
    await web.connect()
    await web.until_state("awaiting_user_input")
    await web.say("go")
    await web.until_event(lambda event: event["source"] == "agent" and event["message"] == "Hello.")


async def test_each_reason_of_a_session_that_fails_again_and_again_is_told_once(
    server: Server, clients: Clients
) -> None:
    model = server.script("spoilt", "nonsense")
    sid = await clients.rest.create(llm_model=model)
    web = clients.v0(sid)
    for _ in range(2):
        await web.connect()
        await web.until_state("error")
        await web.say("go")
        await web.until(lambda: len(web.errors) > 0)
        web.errors.clear()
        await web.leave()
    server.script("spoilt", "name: [")
    await web.connect()
    await web.until(lambda: len(reasons(web.events)) == 2)
    assert len(set(reasons(web.events))) == 2
    assert reasons(await clients.rest.events(sid)) == reasons(web.events)


async def test_whoever_waits_on_a_failed_session_hears_of_a_title_and_of_its_stop(
    server: Server, clients: Clients
) -> None:
    sid = await clients.rest.create(llm_model=server.script("spoilt", "nonsense"))
    client, web = clients.protocol2(sid), clients.v0(sid)
    await failed(client, web)
    status, _ = await clients.rest.ask("PATCH", f"/api/conversations/{sid}", {"title": "Renamed"})
    assert status == 200
    for each in (client, web):
        await each.until(lambda each=each: any(told.get("conversation_title") == "Renamed" for told in each.statuses))  # type: ignore[misc]
    assert (await clients.rest.ask("POST", f"/api/conversations/{sid}/stop"))[0] == 200
    for each in (client, web):
        await each.until_gone()
        assert each.dismissed
        assert [state_of(event) for event in each.events[-2:]] == ["error", "stopped"]
        assert each.faults == []
    assert client.others[-2:] == [("ended", {"reason": "failed"}), ("ended", {"reason": "stopped"})]
    assert client.events == await clients.rest.events(sid)
    server.script("spoilt", ANSWERS)
    await web.connect()
    await web.until_state("awaiting_user_input")


async def test_whoever_waits_on_a_failed_session_is_sent_away_when_it_is_deleted(
    server: Server, clients: Clients
) -> None:
    sid = await clients.rest.create(llm_model=server.script("spoilt", "nonsense"))
    client, web = clients.protocol2(sid), clients.v0(sid)
    await failed(client, web)
    assert await clients.rest.delete(sid) is True
    for each in (client, web):
        await each.until_gone()
        assert each.dismissed
    assert client.others[-1] == ("ended", {"reason": "deleted"})


async def test_a_failed_session_is_stopped_over_the_socket_and_all_who_wait_see_it(
    server: Server, clients: Clients
) -> None:
    sid = await clients.rest.create(llm_model=server.script("spoilt", "nonsense"))
    client, web = clients.protocol2(sid), clients.v0(sid)
    await failed(client, web)
    stopped = await client.order("stopped", key="once")
    for each in (client, web):
        assert (await each.until_state("stopped"))["id"] == stopped
    assert await client.order("stopped", key="once") == stopped
    await web.order("stopped")
    await web.until_state("stopped", after=stopped)
    assert client.connected
    assert web.errors == []
    server.script("spoilt", ANSWERS)
    said = await client.say("go")
    for each in (client, web):
        await each.until_state("awaiting_user_input", after=said)
        assert each.faults == []
    assert client.events == await clients.rest.events(sid)


async def failed(client: Protocol2Client, web: V0Client) -> None:
    """Have both wait on the session, which cannot be set up."""
    for each in (web, client):
        await each.connect()
        await each.until_state("error")
    assert await client.until_told("ended") == {"reason": "failed"}


def reasons(events: list[Event]) -> list[str]:
    return [event["extras"]["reason"] for event in events if state_of(event) == "error"]
