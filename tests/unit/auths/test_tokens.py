"""A token is its user's for as long as it counts, and nothing else is."""

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from openhands_sessions.adapters.auths.revocations import FILE, revoke_token, revoke_tokens_of
from openhands_sessions.adapters.auths.token_claims import MOST_CHARACTERS, TokenRules, write_token
from openhands_sessions.adapters.auths.token_keys import secret_key as key_of_secret
from openhands_sessions.adapters.auths.tokens import SignedTokens
from openhands_sessions.core.errors import Unauthorized
from openhands_sessions.core.ids import OwnerId
from openhands_sessions.core.permissions import Lapse
from openhands_sessions.ports.access import Credentials, LoginProof, Principal, Role
from tests.support.token_keys import SECRET, by_secret, ed25519_key, public, rsa_key, secret_key, signed, write_jwks

ADA = Principal(owner=OwnerId("ada"), role=Role.USER)
KEYS = {
    "ed": ed25519_key("ed"),
    "rsa": rsa_key("rsa"),
    "oct": secret_key("oct", "another secret of so many characters"),
}
RULES = TokenRules(issuer="https://id.example", audience="agents")
RIGHT = by_secret()
WITHIN = 20.0
LONG = 3_000.0
"""Seconds; less than the hour for which other tokens count."""
A_MOMENT = 0.1


class Clock:
    """The time of day, which a test sets forward."""

    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def of_secret(folder: Path, rules: TokenRules | None = None) -> SignedTokens:
    return SignedTokens(rules or TokenRules(), folder / FILE, secret=key_of_secret(SECRET))


@pytest.fixture
def jwks(tmp_path: Path) -> Path:
    return write_jwks(tmp_path / "keys.json", *map(public, KEYS.values()))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def auth(tmp_path: Path, jwks: Path, clock: Clock) -> AsyncIterator[SignedTokens]:
    """Of a server that runs."""
    made = SignedTokens(TokenRules(), tmp_path / FILE, secret=key_of_secret(SECRET), jwks=jwks, clock=clock)
    async with made.noticing() as noticing:
        yield noticing


async def whose(auth: SignedTokens, token: str) -> Principal:
    return await auth.identify(Credentials(key=token))


async def problem(auth: SignedTokens, token: str) -> str:
    with pytest.raises(Unauthorized) as refused:
        await whose(auth, token)
    return refused.value.message


@pytest.mark.parametrize("kid", KEYS)
async def test_a_token_is_its_users_by_each_type_of_key(auth: SignedTokens, kid: str) -> None:
    assert await whose(auth, signed(KEYS[kid])) == ADA
    operator = await whose(auth, signed(KEYS[kid], sub="bob@example.org", role="operator"))
    assert (operator.owner, operator.role, operator.watches) == ("bob@example.org", Role.OPERATOR, True)


async def test_a_token_is_its_users_by_the_secret_and_from_a_browsers_cookie(auth: SignedTokens) -> None:
    token = by_secret(role="admin")
    principal = await auth.identify(Credentials(login=token))
    assert (principal.owner, principal.role) == ("ada", Role.ADMIN)
    assert auth.login_proof(principal, 60) == LoginProof(token, 60)
    assert 3_500 < auth.login_proof(principal, 10**9).seconds <= 3_600
    assert token not in repr(principal)


@pytest.mark.parametrize(
    ("claims", "told"),
    [
        ({"exp": 1}, "has expired"),
        ({"exp": None}, "lacks the claim `exp`"),
        ({"exp": "soon"}, "is no signed token"),
        ({"exp": float("inf")}, "is no signed token"),
        ({"sub": None}, "lacks the claim `sub`"),
        ({"sub": ""}, "names no user: its `sub` must be 1 to 128 printable characters"),
        ({"sub": "a" * 129}, "names no user"),
        ({"sub": "ada\n"}, "names no user"),
        ({"sub": " ada"}, "names no user"),
        ({"sub": "ada\u200b"}, "names no user"),
        ({"sub": 7}, "is no signed token"),
        ({"nbf": 2**33}, "is not valid yet"),
        ({"iat": 2**33}, "is not valid yet"),
        ({"role": "root"}, "has a `role` that is not one of user, operator, admin"),
        ({"role": ["admin"]}, "has a `role`"),
        ({"jti": 7}, "is no signed token"),
        ({"aud": "agents"}, "is not for this server"),
    ],
)
async def test_what_a_token_says_must_be_right(tmp_path: Path, claims: dict[str, Any], told: str) -> None:
    assert f"the token {told}" in await problem(of_secret(tmp_path), by_secret(**claims))


async def test_issuer_and_audience_are_asked_for_where_they_are_configured(tmp_path: Path) -> None:
    auth = of_secret(tmp_path, RULES)
    right: dict[str, Any] = {"iss": "https://id.example", "aud": ["others", "agents"]}
    assert await whose(auth, by_secret(**right)) == ADA
    cases: list[tuple[dict[str, Any], str]] = [
        ({"iss": "https://evil.example"}, "not issued by auth.issuer"),
        ({"iss": None}, "lacks the claim `iss`"),
        ({"aud": "others"}, "not for this server"),
        ({"aud": None}, "lacks the claim `aud`"),
    ]
    for wrong, told in cases:
        assert told in await problem(auth, by_secret(**{**right, **wrong}))


async def test_clocks_may_differ_by_the_leeway(tmp_path: Path) -> None:
    late = by_secret(exp=time.time() - 30)
    assert "has expired" in await problem(of_secret(tmp_path), late)
    assert await whose(of_secret(tmp_path, TokenRules(leeway=120)), late) == ADA


async def test_no_other_key_counts(auth: SignedTokens) -> None:
    for token, told in (
        (by_secret("another secret of forty-two characters, or so"), "has a wrong signature"),
        (signed(ed25519_key("ed")), "has a wrong signature"),
        (signed(ed25519_key("unknown")), "names a key that this server does not have"),
        (signed(KEYS["ed"], headers={}), "signed by another algorithm than its key is for"),
        (signed(KEYS["ed"], headers={"kid": "rsa"}), "signed by another algorithm than its key is for"),
    ):
        assert told in await problem(auth, token)


async def test_a_public_key_is_no_secret_and_none_is_no_algorithm(auth: SignedTokens) -> None:
    signing = f"{encoded({'alg': 'HS256', 'kid': 'rsa'})}.{encoded({'sub': 'ada', 'exp': 2**33})}"
    for secret in (as_pem(KEYS["rsa"]), KEYS["rsa"]["n"].encode()):
        signature = hmac.digest(secret, signing.encode(), "sha256")
        forged = f"{signing}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
        assert "another algorithm" in await problem(auth, forged)
    for name in ("none", "None", "NONE"):
        for headers in ({"kid": "rsa"}, {}):
            head, body = {"alg": name, "typ": "JWT", **headers}, {"sub": "ada", "exp": 2**33}
            unsigned = f"{encoded(head)}.{encoded(body)}."
            assert "another algorithm" in await problem(auth, unsigned)


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "\ud800",
        by_secret()[:-1],
        by_secret().rpartition(".")[0],
        f"{by_secret()}.x",
        f" {by_secret()}",
        "x" * (MOST_CHARACTERS + 1),
        base64.urlsafe_b64encode(b'{"a":' * 700).decode() + ".e30.",
        "e30.e30.",
    ],
    ids=map(str, range(12)),  # what is signed differs from process to process
)
async def test_what_is_no_token_is_refused_without_repeating_it(auth: SignedTokens, token: str) -> None:
    told = await problem(auth, token)
    assert "token" in told
    assert len(told) < 200


@given(shown=st.text() | st.tuples(st.integers(0, len(RIGHT) - 1), st.characters()))
def test_whatever_else_is_shown_is_refused_in_few_words(shown: str | tuple[int, str]) -> None:
    """Any text, and a right token with one character changed."""
    if isinstance(shown, tuple):
        place, character = shown
        shown = f"{RIGHT[:place]}{character}{RIGHT[place + 1 :]}"
    try:
        principal = asyncio.run(whose(of_secret(Path("/nowhere")), shown))
    except Unauthorized as refused:
        problem = refused.message
    else:
        # Bits of the signature's last character that stand for nothing.
        assert (principal, shown[:-1]) == (ADA, RIGHT[:-1])
        problem = ""
    assert len(problem) < 200


async def test_a_token_expires_also_after_it_was_verified(auth: SignedTokens, clock: Clock) -> None:
    token = by_secret(exp=time.time() + LONG)
    assert await whose(auth, token) == ADA
    clock.ahead = LONG
    assert "has expired" in await problem(auth, token)


async def test_a_token_is_revoked_by_its_id_and_with_all_others_of_its_user(auth: SignedTokens, tmp_path: Path) -> None:
    first, second = by_secret(jti="first", iat=time.time() - 1), by_secret(jti="second", iat=time.time() - 1)
    undated, other = by_secret(), by_secret(sub="bob", iat=1)
    for token in (first, second, undated):
        assert await whose(auth, token) == ADA
    revoke_token(tmp_path / FILE, "first")
    await until_refused(auth, first)
    assert await whose(auth, second) == ADA
    revoke_tokens_of(tmp_path / FILE, OwnerId("ada"), time.time())
    await until_refused(auth, second)
    assert "was revoked" in await problem(auth, undated)
    assert (await whose(auth, other)).owner == "bob"
    new, _ = write_token(
        key_of_secret(SECRET), OwnerId("ada"), Role.USER, TokenRules(), now=time.time() + 0.002, seconds=60
    )
    assert await whose(auth, new) == ADA


async def test_keys_are_rotated_while_the_server_runs(auth: SignedTokens, jwks: Path) -> None:
    old, new = signed(KEYS["ed"]), signed(newer := ed25519_key("newer"))
    assert await whose(auth, old) == ADA
    assert "does not have" in await problem(auth, new)
    write_jwks(jwks, public(newer), public(KEYS["rsa"]))
    await until_refused(auth, old)
    assert await whose(auth, new) == ADA
    assert await whose(auth, signed(KEYS["rsa"])) == ADA


async def test_files_that_cannot_be_used_leave_what_was_there(auth: SignedTokens, jwks: Path, tmp_path: Path) -> None:
    revoke_token(tmp_path / FILE, "gone")
    gone, good = by_secret(jti="gone"), signed(KEYS["ed"])
    await until_refused(auth, gone)
    jwks.write_text('{"keys": [')
    (tmp_path / FILE).write_text("{")
    revoke = asyncio.create_task(until_refused(auth, good))
    await asyncio.wait([revoke], timeout=0.3)
    assert not revoke.done()
    revoke.cancel()
    assert "was revoked" in await problem(auth, gone)


async def test_a_connection_hears_once_that_its_token_lapses_and_only_while_it_listens(
    auth: SignedTokens, jwks: Path, clock: Clock, tmp_path: Path
) -> None:
    heard: asyncio.Queue[tuple[str, Lapse]] = asyncio.Queue()

    async def watched(name: str, token: str) -> Any:
        principal = await whose(auth, token)
        return auth.watch(principal, lambda why: heard.put_nowait((name, why)))

    short = [await whose(auth, by_secret(exp=time.time() + LONG)) for _ in range(2)]
    clock.ahead = LONG - A_MOMENT
    auth.watch(short[0], lambda why: heard.put_nowait(("short", why)))
    auth.watch(short[1], lambda why: heard.put_nowait(("left", why)))()
    await watched("revoked", by_secret(jti="it"))
    await watched("rotated", signed(KEYS["ed"]))
    await watched("kept", signed(KEYS["rsa"]))
    async with asyncio.timeout(WITHIN):
        assert await heard.get() == ("short", "expired")
        revoke_token(tmp_path / FILE, "it")
        assert await heard.get() == ("revoked", "revoked")
        write_jwks(jwks, public(KEYS["rsa"]), public(ed25519_key("ed")))
        assert await heard.get() == ("rotated", "revoked")
        revoke_tokens_of(tmp_path / FILE, OwnerId("ada"), time.time())
        assert await heard.get() == ("kept", "revoked")
    assert heard.empty()


async def test_a_token_that_lapsed_before_it_was_watched_is_told_too(auth: SignedTokens, tmp_path: Path) -> None:
    principal = await whose(auth, by_secret(jti="it"))
    revoke_token(tmp_path / FILE, "it")
    await until_refused(auth, by_secret(jti="it"))
    heard: asyncio.Future[Lapse] = asyncio.get_running_loop().create_future()
    auth.watch(principal, heard.set_result)
    assert await asyncio.wait_for(heard, WITHIN) == "revoked"


async def until_refused(auth: SignedTokens, token: str) -> None:
    """Wait until a change of a file counts."""
    async with asyncio.timeout(WITHIN):
        while True:
            try:
                await whose(auth, token)
            except Unauthorized:
                return
            await asyncio.sleep(0.01)


def as_pem(key: dict[str, Any]) -> bytes:
    """The public half as the text that a forger may use as a secret."""
    found: bytes = jwt.PyJWK(public(key)).key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return found


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
