"""A header is believed where a trusted proxy sends it, once, and with a user in it."""

from collections.abc import Mapping, Sequence

import pytest

from openhands_sessions.adapters.auths.trusted_header import TrustedHeader
from openhands_sessions.core.errors import Unauthorized
from openhands_sessions.core.ids import OwnerId
from openhands_sessions.ports.access import Credentials, Principal, Role

PROXY = "10.0.0.7"
USER, ROLE = "X-Forwarded-User", "X-Role"
AUTH = TrustedHeader({PROXY}.__contains__, USER, ROLE)


def shown(peer: str = PROXY, **headers: Sequence[str]) -> Credentials:
    named: Mapping[str, Sequence[str]] = {USER: headers.get("user", ()), ROLE: headers.get("role", ())}
    return Credentials(peer=peer, headers=lambda name: named[name])


async def test_the_proxy_names_the_user_and_may_name_a_role() -> None:
    assert await AUTH.identify(shown(user=["ada"])) == Principal(owner=OwnerId("ada"), role=Role.USER)
    assert (await AUTH.identify(shown(user=["ada"], role=["admin"]))).role is Role.ADMIN
    without = TrustedHeader({PROXY}.__contains__, USER)
    assert (await without.identify(shown(user=["ada"], role=["admin"]))).role is Role.USER


@pytest.mark.parametrize("peer", ["", "10.0.0.8", "127.0.0.1"])
async def test_from_anybody_else_the_request_is_refused_with_the_header_and_without(peer: str) -> None:
    for credentials in (shown(peer, user=["ada"]), shown(peer), Credentials(key="any", peer=peer)):
        with pytest.raises(Unauthorized, match=r"auth\.proxies"):
            await AUTH.identify(credentials)


@pytest.mark.parametrize(
    ("user", "role", "told"),
    [
        ((), (), "X-Forwarded-User is missing"),
        (("ada", "ada"), (), "X-Forwarded-User is there more than once"),
        (("",), (), "X-Forwarded-User must be 1 to 128"),
        (("a" * 129,), (), "X-Forwarded-User must be 1 to 128"),
        (("ada\x00",), (), "X-Forwarded-User must be 1 to 128"),
        (("\udcff",), (), "X-Forwarded-User must be 1 to 128"),
        (("ada",), ("root",), "X-Role must be one of user, operator, admin"),
        (("ada",), ("user", "admin"), "X-Role is there more than once"),
        (("ada",), ("",), "X-Role must be one of"),
    ],
)
async def test_a_header_that_is_not_clear_is_refused(user: Sequence[str], role: Sequence[str], told: str) -> None:
    with pytest.raises(Unauthorized) as refused:
        await AUTH.identify(shown(user=user, role=role))
    assert told in refused.value.message
