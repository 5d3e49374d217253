"""One key guards everything, or nothing does."""

import pytest

from openhands_sessions.adapters.session_key_auth import SessionKey
from openhands_sessions.core.errors import Unauthorized
from openhands_sessions.core.ids import LOCAL_OWNER
from openhands_sessions.ports.access import Principal

EVERYBODY = Principal(owner=LOCAL_OWNER, operator=True)


@pytest.mark.parametrize("given", [{}, {"session_api_key": "anything"}])
async def test_without_a_key_everybody_who_reaches_the_port_is_let_in(given: dict[str, str]) -> None:
    auth = SessionKey(None)
    assert not auth.required
    assert await auth.identify(given) == EVERYBODY


async def test_with_the_key_one_is_let_in() -> None:
    auth = SessionKey("clé")
    assert auth.required
    assert await auth.identify({"session_api_key": "clé"}) == EVERYBODY


@pytest.mark.parametrize("given", ["", "cl", "clé ", "CLÉ", "null", "\ud800"])
async def test_without_it_one_is_not(given: str) -> None:
    with pytest.raises(Unauthorized) as refused:
        await SessionKey("clé").identify({"session_api_key": given})
    assert "clé" not in str(refused.value)


async def test_no_credentials_at_all_are_the_wrong_ones() -> None:
    with pytest.raises(Unauthorized):
        await SessionKey("key").identify({})


@pytest.mark.parametrize("given", [{}, {"session_api_key": ""}])
async def test_an_empty_key_lets_nobody_in(given: dict[str, str]) -> None:
    auth = SessionKey("")
    assert auth.required
    with pytest.raises(Unauthorized):
        await auth.identify(given)
