"""One key guards everything, or nothing does."""

import pytest

from openhands_sessions.adapters.auths.open import OpenAuth
from openhands_sessions.adapters.auths.session_key import SessionKey
from openhands_sessions.core.errors import Unauthorized
from openhands_sessions.core.ids import LOCAL_OWNER
from openhands_sessions.ports.access import Credentials, Principal, Role

EVERYBODY = Principal(owner=LOCAL_OWNER, role=Role.ADMIN)
WRONG_PROOFS = ["", ".", "9999999999.", "9999999999.00", "1.\ud800", "\ud800.x", "."]


@pytest.mark.parametrize("given", [Credentials(), Credentials(key="anything"), Credentials(login="anything")])
async def test_where_it_is_open_everybody_who_reaches_the_port_is_let_in(given: Credentials) -> None:
    auth = OpenAuth()
    assert not auth.required
    assert await auth.identify(given) == EVERYBODY


async def test_with_the_key_one_is_let_in() -> None:
    auth = SessionKey("clé")
    assert auth.required
    assert await auth.identify(Credentials(key="clé")) == EVERYBODY


@pytest.mark.parametrize("given", ["", "cl", "clé ", "CLÉ", "null", "\ud800"])
async def test_without_it_one_is_not(given: str) -> None:
    with pytest.raises(Unauthorized) as refused:
        await SessionKey("clé").identify(Credentials(key=given))
    assert "clé" not in str(refused.value)


async def test_no_credentials_at_all_are_the_wrong_ones() -> None:
    with pytest.raises(Unauthorized):
        await SessionKey("key").identify(Credentials())


@pytest.mark.parametrize(
    "given", [Credentials(), Credentials(key=""), Credentials(login=SessionKey("").login_proof(EVERYBODY, 60).text)]
)
async def test_an_empty_key_lets_nobody_in(given: Credentials) -> None:
    with pytest.raises(Unauthorized):
        await SessionKey("").identify(given)


async def test_a_proof_of_a_login_stands_for_the_key_until_its_time_and_until_the_key_changes() -> None:
    now = [1_000_000.0]
    auth = SessionKey("key", lambda: now[0])
    text, seconds = auth.login_proof(EVERYBODY, 60)
    proof = Credentials(login=text)
    assert (seconds, "key" in text) == (60, False)
    assert await SessionKey("key", lambda: now[0]).identify(proof) == EVERYBODY
    with pytest.raises(Unauthorized):
        await SessionKey("another key", lambda: now[0]).identify(proof)
    now[0] += 60
    with pytest.raises(Unauthorized):
        await auth.identify(proof)


@pytest.mark.parametrize("proof", WRONG_PROOFS)
async def test_what_was_not_signed_proves_nothing(proof: str) -> None:
    with pytest.raises(Unauthorized):
        await SessionKey("key").identify(Credentials(login=proof))


async def test_the_time_of_a_proof_cannot_be_changed() -> None:
    auth = SessionKey("key")
    _, _, signature = auth.login_proof(EVERYBODY, 60).text.partition(".")
    with pytest.raises(Unauthorized):
        await auth.identify(Credentials(login=f"99999999999.{signature}"))
