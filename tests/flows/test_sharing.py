"""A conversation that is shared, from its guests' view: what they reach, by which way, until it is taken back."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from openhands_sessions.adapters.auths.link_tokens import SignedLinks
from openhands_sessions.config.audit_section import AuditSection
from openhands_sessions.config.config import AgentSection, AuthSection, Config, LimitsSection, LlmSection
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.sharing import SharedLink
from tests.support.event_stream_client import EventStreamClient
from tests.support.in_process_server import InProcessServer, in_process_server
from tests.support.model_replies import Reply
from tests.support.model_server import model_server
from tests.support.running_server import discard_sandboxes
from tests.support.server_clients import Clients
from tests.support.socket_connection import ConnectionRefused
from tests.support.token_keys import SECRET, by_secret

LATER = 3_600.0


@dataclass(frozen=True)
class House:
    """A server that tells users apart, a conversation of ada's, and clients by their users' names."""

    served: InProcessServer
    sid: str
    clients: Mapping[str, Clients]

    @property
    def ada(self) -> Clients:
        return self.clients["ada"]

    async def ask(self, method: str, path: str, body: object = None, **query: str) -> Any:
        """As the owner, of the conversation; what is answered."""
        status, answer = await self.ada.rest.ask(method, f"/api/conversations/{self.sid}{path}", body, **query)
        assert status in (200, 201), answer
        return answer

    async def share(self, user: str, permission: str = "view") -> None:
        await self.ask("POST", "/shares", {"user": user, "permission": permission})

    async def link(self, permission: str = "view") -> tuple[str, str]:
        """The id of a new link, and its token."""
        made = await self.ask("POST", "/links", {"permission": permission})
        return made["id"], made["token"]


@asynccontextmanager
async def house(data_dir: Path, **sections: Any) -> AsyncIterator[House]:
    auth = AuthSection(kind="tokens", secret=SecretStr(SECRET))
    async with in_process_server(Config(data_dir=data_dir, auth=auth, **sections)) as served, AsyncExitStack() as stack:
        clients = {
            name: await stack.enter_async_context(Clients(served.url, key=by_secret(sub=name)))
            for name in ("ada", "vera", "will")
        }
        yield House(served, await clients["ada"].rest.create("$ echo hello"), clients)
    await discard_sandboxes(data_dir)


@pytest.fixture
async def home(data_dir: Path) -> AsyncIterator[House]:
    async with house(data_dir) as made:
        yield made


def streaming(guest: Clients, sid: str) -> tuple[EventStreamClient, "asyncio.Task[None]"]:
    client = EventStreamClient(guest.rest.http, guest.rest.url, sid)
    return client, asyncio.create_task(client.until())


async def test_guests_of_every_way_see_what_happens_until_it_is_taken_back(home: House) -> None:
    await home.share("vera")
    link, token = await home.link()
    async with Clients(home.served.url, key=token) as linked:
        for guest, path, query in (
            (home.clients["vera"], "/shares", {"user": "vera"}),
            (linked, "/links", {"link": link}),
        ):
            new, old = guest.protocol2(home.sid), guest.v0(home.sid)
            await new.connect()
            await old.connect()
            stream, reading = streaming(guest, home.sid)
            client = home.ada.protocol2(home.sid)
            await client.connect()
            said = await client.say("$ echo more")
            await new.until_id(said)
            await old.until_event(lambda event: event.get("args", {}).get("content") == "$ echo more")
            await stream.connected.wait()
            await client.leave()
            watchers = (await home.ask("GET", "/shares"))["watchers"]
            assert len(watchers) == 1
            assert watchers[0] in ("vera", f"link:{link}")
            assert await home.ask("DELETE", path, **query) is True
            assert (await new.until_told("ended"))["reason"] == "revoked"
            await new.until_gone()
            await old.until_gone()
            assert (new.dismissed, old.dismissed, new.faults) == (True, True, [])
            assert any("was revoked" in status["message"] for status in old.statuses)
            await reading
            assert stream.ended == "revoked"
            with pytest.raises(ConnectionRefused):
                await new.connect()


async def test_a_writer_takes_part_and_is_limited_by_its_own_rate(data_dir: Path) -> None:
    limits = LimitsSection(messages_per_second=0.001, messages_burst=3)
    async with house(data_dir, limits=limits) as home:
        await home.share("will", "write")
        will = home.clients["will"].rest
        path = f"/api/conversations/{home.sid}/messages"
        answers = [await will.ask("POST", path, {"content": "$ echo will"}) for _ in range(4)]
        assert [status for status, _ in answers] == [200, 200, 200, 429]
        assert (await home.ada.rest.ask("POST", path, {"content": "$ echo ada"}))[0] == 200
        events = await home.ada.rest.events(home.sid)
        said = [event["id"] for event in events if event.get("args", {}).get("content") == "$ echo will"]
        assert said == [answer["id"] for _, answer in answers[:3]]


async def test_a_link_that_does_not_count_says_why(home: House, data_dir: Path) -> None:
    link, token = await home.link()
    other = await home.ada.rest.create()
    signing = SignedLinks((data_dir / "link_key").read_text().strip().encode())
    expired = await signing.issue(SharedLink(link, ConversationId(home.sid), time.time() - 1))
    made_up = await signing.issue(SharedLink("feed", ConversationId(home.sid), time.time() + LATER))
    moved = await signing.issue(SharedLink(link, ConversationId(other), time.time() + LATER))
    forged = await SignedLinks(b"a key of somebody else's: 32 bytes").issue(
        SharedLink(link, ConversationId(home.sid), time.time() + LATER)
    )
    for shown, sid, status, told in (
        (token, home.sid, 200, ""),
        (token, other, 404, "not found"),
        (token, "unknown", 404, "not found"),
        (expired, home.sid, 401, "the link has expired"),
        (made_up, home.sid, 401, "the link was revoked"),
        (moved, other, 401, "the link was revoked"),
        (forged, home.sid, 401, "not of this server"),
        (token[:-5], home.sid, 401, "not of this server"),
    ):
        async with Clients(home.served.url, key=shown) as guest:
            found, answer = await guest.rest.ask("GET", f"/api/conversations/{sid}/events")
            assert (found, told in str(answer)) == (status, True), answer
            client = guest.protocol2(sid)
            if status == 200:
                await client.connect()
                await client.leave()
                continue
            with pytest.raises(ConnectionRefused) as refused:
                await client.connect()
            assert told in str(refused.value.told)


async def test_a_link_is_less_than_no_key_where_none_is_needed(data_dir: Path) -> None:
    async with in_process_server(Config(data_dir=data_dir)) as served, Clients(served.url) as anyone:
        sid = await anyone.rest.create()
        status, made = await anyone.rest.ask("POST", f"/api/conversations/{sid}/links", {"permission": "write"})
        assert status == 201
        refused = await anyone.rest.ask("POST", f"/api/conversations/{sid}/shares", {"user": "vera"})
        assert (refused[0], refused[1]["field"]) == (422, "user")
        async with Clients(served.url, key=made["token"]) as guest:
            assert (await guest.rest.ask("GET", "/api/conversations"))[0] == 403
            assert (await guest.rest.ask("POST", "/api/login-link"))[0] == 403
            assert (await guest.rest.describe(sid))["session"]["permission"] == "write"
            client = guest.protocol2(sid)
            await client.connect()
            said = await client.say("$ echo hello")
            event = await client.until_event(lambda event: event["id"] == said)
            assert event["args"]["content"] == "$ echo hello"
            assert (await client.command("set_model", model="scripted:none"))["code"] == "forbidden"
            await client.leave()
        assert await anyone.rest.delete(sid)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/shares", {"user": "vera", "permission": "own"}, "permission"),
        ("/shares", {"user": "vera", "permission": "admin"}, "permission"),
        ("/shares", {}, "user"),
        ("/shares", {"user": "ada"}, "user"),
        ("/shares", {"user": " "}, "user"),
        ("/shares", {"user": "link:abc"}, "user"),
        ("/links", {"permission": "own"}, "permission"),
        ("/links", {"hours": 0}, "hours"),
        ("/links", {"hours": 1e9}, "hours"),
        ("/links", {"hours": "for ever"}, "hours"),
        ("/links", {"user": "vera"}, "user"),
    ],
)
async def test_a_wrong_share_says_what_is_wrong_and_changes_nothing(
    home: House, path: str, body: object, field: str
) -> None:
    status, answer = await home.ada.rest.ask("POST", f"/api/conversations/{home.sid}{path}", body)
    assert (status, answer["code"], answer["field"]) == (422, "bad_input", field)
    shares = await home.ask("GET", "/shares")
    assert (shares["users"], shares["links"]) == ([], [])


async def test_a_yes_to_spending_is_the_owners_by_every_way_and_a_no_a_writers(data_dir: Path) -> None:
    agent, audit = AgentSection(spending_pause_at=0.000_001), AuditSection(enabled=True)
    async with model_server(lambda body: Reply(text="Well.")) as model:
        llm = LlmSection(model="openai/gpt-4o", base_url=model.url, api_key=SecretStr("sk-loopback"))
        async with house(data_dir, llm=llm, agent=agent, audit=audit) as home:
            await home.share("will", "write")
            will, events = home.clients["will"], f"/api/conversations/{home.sid}/events"
            client = will.protocol2(home.sid)
            await client.connect()
            await client.until_state("awaiting_user_input", after=3)
            await client.until_state("awaiting_user_confirmation", after=await client.say("go on"))
            yes = {"action": "change_agent_state", "args": {"agent_state": "user_confirmed"}}
            approval = (await home.ada.rest.describe(home.sid))["session"]["approval"]
            batch = {"batch": approval["batch"], "version": approval["version"]}
            decided = {"action": "decide", "args": {**batch, "rest": "approve"}}
            for body in (yes, decided):
                status, refused = await will.rest.ask("POST", events, body)
                assert (status, refused["code"]) == (403, "forbidden")
                assert "only the owner" in refused["message"]
                assert (await client.call("oh_user_action", body))["code"] == "forbidden"
            said = await client.order("user_rejected")
            await client.until_state("awaiting_user_input", after=said)
            await client.until_state("awaiting_user_confirmation", after=await client.say("go on, please"))
            status, accepted = await home.ada.rest.ask("POST", events, yes)
            assert status == 200
            await client.until_state("awaiting_user_input", after=accepted["id"])
            await client.leave()
    lines = [json.loads(line) for line in (data_dir / "audit.jsonl").read_text().splitlines()]
    refusals = [(line["user"], line["details"]) for line in lines if line["action"] == "refused"]
    assert refusals == [("will", {"needs": "own"})] * 4


async def test_what_is_not_shared_cannot_be_taken_back(home: House) -> None:
    for path, query, status in (
        ("/shares", {"user": "vera"}, 404),
        ("/shares", {}, 422),
        ("/links", {"link": "feed"}, 404),
        ("/links", {}, 422),
    ):
        found = await home.ada.rest.ask("DELETE", f"/api/conversations/{home.sid}{path}", None, **query)
        assert found[0] == status, found


async def test_the_audit_log_says_who_did_what(data_dir: Path) -> None:
    async with house(data_dir, audit=AuditSection(enabled=True)) as home:
        await home.share("vera")
        link, token = await home.link("write")
        path = f"/api/conversations/{home.sid}"
        async with Clients(home.served.url, key=token) as linked:
            said = (await linked.rest.ask("POST", f"{path}/messages", {"content": "$ echo hi"}))[1]["id"]
        assert (await home.clients["vera"].rest.ask("POST", f"{path}/stop"))[0] == 403
        assert (await home.clients["vera"].rest.ask("GET", f"{path}/trajectory"))[0] == 200
        await home.ask("DELETE", "/shares", user="vera")
        assert await home.ada.rest.delete(home.sid)
    lines = [json.loads(line) for line in (data_dir / "audit.jsonl").read_text().splitlines()]
    assert {(line["event"], line["conversation"]) for line in lines} == {("audit", home.sid)}
    assert [(line["user"], line["action"], line.get("details")) for line in lines] == [
        ("ada", "created", {"cause": "gui"}),
        ("ada", "shared", {"user": "vera", "permission": "view"}),
        ("ada", "link_made", {"link": link, "permission": "write"}),
        (f"link:{link}", "send_message", {"event": said}),
        ("vera", "refused", {"needs": "write"}),
        ("vera", "exported", None),
        ("ada", "unshared", {"user": "vera"}),
        ("ada", "deleted", None),
    ]
    assert "echo" not in (data_dir / "audit.jsonl").read_text()
