"""Whom a request is from, behind proxies that are trusted and behind others."""

from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from openhands_sessions.server.forwarding import Caller, TrustedProxies

PROXIES = TrustedProxies(["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"])


class Transport:
    """What a request reads of its transport."""

    def __init__(self, address: str) -> None:
        self._address = address

    def get_extra_info(self, name: str, default: object = None) -> Any:
        return (self._address, 1) if name == "peername" else default


def caller(peer: str, *headers: tuple[str, str], proxies: TrustedProxies = PROXIES) -> Caller | None:
    told = CIMultiDict([("Host", "inner:3000"), *headers])
    request: Any = make_mocked_request("GET", "/", headers=told, transport=Transport(peer))
    return proxies.caller(request)


def address(*told: str) -> str:
    """Of a request that a trusted proxy passes on with these headers."""
    found = caller("10.0.0.1", *(("X-Forwarded-For", text) for text in told))
    assert found is not None
    return found.address


@pytest.mark.parametrize("peer", ["192.0.2.2", "127.0.0.1", "11.0.0.1", "", "::1"])
def test_what_is_no_trusted_proxy_says_nothing_of_others(peer: str) -> None:
    forged = ("X-Forwarded-For", "10.0.0.1"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "other")
    assert caller(peer, *forged) is None
    assert caller("10.0.0.1", *forged, proxies=TrustedProxies()) is None


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (("203.0.113.7",), "203.0.113.7"),
        (("198.51.100.1, 203.0.113.7",), "203.0.113.7"),
        (("198.51.100.1", "203.0.113.7"), "203.0.113.7"),
        (("198.51.100.1, 203.0.113.7, 10.1.1.1, 192.0.2.1",), "203.0.113.7"),
        (("203.0.113.7:4711",), "203.0.113.7"),
        (("[2001:aaaa::1]:4711",), "2001:aaaa::1"),
        (("2001:aaaa::1, 2001:db8::5",), "2001:aaaa::1"),
        (("10.1.1.1, 10.1.1.2",), "10.1.1.1"),
    ],
)
def test_the_first_address_from_the_right_that_is_no_proxys_is_the_callers(told: tuple[str, ...], found: str) -> None:
    assert address(*told) == found


@pytest.mark.parametrize("told", ["unknown", "", ",", "203.0.113.7, _hidden", "1.2.3", "203.0.113.7, <script>"])
def test_what_is_no_address_ends_the_chain_at_the_last_proxy_that_is_known(told: str) -> None:
    assert address(f"{told}, 10.1.1.1" if told else "") in ("10.1.1.1", "10.0.0.1")


def test_the_proxy_also_says_by_which_name_and_how_it_was_asked() -> None:
    told = ("X-Forwarded-Proto", "http, HTTPS"), ("X-Forwarded-Host", "spoofed, agents.example.org:8443")
    assert caller("10.0.0.1", *told) == Caller("10.0.0.1", "agents.example.org:8443", secure=True)
    assert caller("10.0.0.1") == Caller("10.0.0.1", "inner:3000", secure=False)


def test_a_proxy_that_reaches_an_ipv6_socket_over_ipv4_is_known_too() -> None:
    assert caller("::ffff:10.0.0.1") is not None
