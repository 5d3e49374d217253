"""Links to shared conversations: whose tokens count, until when, and what they are not mistaken for."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import jwt
import pytest

from openhands_sessions.adapters.auths.link_tokens import SignedLinks
from openhands_sessions.adapters.auths.session_key import SessionKey
from openhands_sessions.adapters.auths.shared_links import PREFIX, LazyLinkTokens, SharedLinks
from openhands_sessions.core.errors import StorageUnavailable, Unauthorized
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId
from openhands_sessions.ports.access import Credentials, Role
from openhands_sessions.ports.sharing import LinkTokens, SharedLink

KEY = b"a key for links, of thirty-two bytes"
LINK = SharedLink("abc", ConversationId("talk"), 1_000.0)


def at(now: float) -> Callable[[], float]:
    return lambda: now


def links(now: float = 0.0, key: bytes = KEY) -> SignedLinks:
    return SignedLinks(key, at(now))


def auth(now: float = 0.0) -> SharedLinks:
    return SharedLinks(SessionKey("secret", at(now)), links(now), at(now))


async def test_a_token_says_which_link_it_is_of_until_it_expires() -> None:
    token = await links().issue(LINK)
    assert token.startswith(PREFIX)
    assert await links(999.0).read(token) == LINK
    with pytest.raises(Unauthorized, match="has expired"):
        await links(1_000.0).read(token)


async def test_a_token_that_was_changed_or_is_of_another_server_does_not_count() -> None:
    token = await links().issue(LINK)
    head, body, signature = token.removeprefix(PREFIX).split(".")
    other = jwt.encode({"jti": "abc", "conversation": "other", "exp": 1_000}, KEY, algorithm="HS256").split(".")[1]
    none = jwt.encode({"jti": "abc", "conversation": "talk", "exp": 1_000}, "", algorithm="none")
    wrong = [f"{head}.{other}.{signature}", f"{head}.{body}.", f"{head}.{body}", "", "x" * 5_000, "\udc80.x.y", none]
    wrong += [jwt.encode({"jti": "abc", "conversation": "talk"}, KEY, algorithm="HS256")]
    wrong += [jwt.encode({"jti": "abc", "conversation": "../x", "exp": 1_000}, KEY, algorithm="HS256")]
    for text in wrong:
        with pytest.raises(Unauthorized, match="not of this server"):
            await links().read(PREFIX + text)
    with pytest.raises(Unauthorized, match="not of this server"):
        await links(key=b"another key, of thirty-two bytes...").read(token)


async def test_who_shows_a_link_is_the_link_and_who_shows_a_key_is_its_user() -> None:
    token = await links().issue(LINK)
    for shown in (Credentials(key=token), Credentials(login=token)):
        caller = await auth().identify(shown)
        assert (caller.owner, caller.role, caller.link, caller.watches) == ("link:abc", Role.USER, LINK, False)
    caller = await auth().identify(Credentials(key="secret"))
    assert (caller.owner, caller.link) == (LOCAL_OWNER, None)
    for wrong in ("", "wrong", PREFIX, f"{PREFIX}secret"):
        with pytest.raises(Unauthorized):
            await auth().identify(Credentials(key=wrong))


async def test_a_browser_that_logs_in_by_a_link_gets_no_more_than_the_link() -> None:
    token = await links().issue(LINK)
    guest = await auth().identify(Credentials(key=token))
    assert auth(400.0).login_proof(guest, 10_000) == (token, 600)
    assert auth(400.0).login_proof(guest, 60) == (token, 60)
    assert auth(5_000.0).login_proof(guest, 60) == (token, 0)
    owner = await auth().identify(Credentials(key="secret"))
    proof = auth().login_proof(owner, 60)
    assert (await auth().identify(Credentials(login=proof.text))).link is None


async def test_what_is_open_with_a_link_is_told_when_it_expires() -> None:
    guest = await auth().identify(Credentials(key=await links().issue(LINK)))
    told: list[str] = []
    lapsed = asyncio.Event()

    def note(why: str) -> None:
        told.append(why)
        lapsed.set()

    auth(0.0).watch(guest, note)()  # it has gone
    now = 999.99
    SharedLinks(SessionKey("secret"), links(), lambda: now).watch(guest, note)
    now = 1_000.0
    await lapsed.wait()
    assert told == ["expired"]
    owner = await auth().identify(Credentials(key="secret"))
    auth(5_000.0).watch(owner, note)()


async def test_links_are_loaded_once_and_when_they_are_needed() -> None:
    loads: list[int] = []

    def load() -> LinkTokens:
        loads.append(1)
        return links()

    lazy = LazyLinkTokens(load)
    assert loads == []
    tokens = await asyncio.gather(*(lazy.issue(replace(LINK, id=f"{number}")) for number in range(5)))
    assert [(await lazy.read(token)).id for token in tokens] == ["0", "1", "2", "3", "4"]
    assert loads == [1]


async def test_a_key_that_cannot_be_read_now_may_be_read_later() -> None:
    found: list[LinkTokens] = []

    def load() -> LinkTokens:
        if not found:
            raise StorageUnavailable("the disk is full")
        return found[0]

    lazy = LazyLinkTokens(load)
    with pytest.raises(StorageUnavailable):
        await lazy.issue(LINK)
    found.append(links())
    assert (await lazy.read(await lazy.issue(LINK))).id == "abc"
