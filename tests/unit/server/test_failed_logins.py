"""An address may guess a few times, and then has to wait; others have not."""

from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from openhands_sessions.core.errors import RateLimited
from openhands_sessions.ports.access import Credentials
from openhands_sessions.server.failed_logins import FailedLogins
from openhands_sessions.server.forwarding import CALLER, Caller, TrustedProxies

PROXIES = TrustedProxies(["10.0.0.7"])
RIGHT = Credentials(key="right")


def request_from(address: str) -> Any:
    request = make_mocked_request("GET", "/")
    request[CALLER] = Caller(address, "localhost", secure=False)
    return request


def guesses(failed: FailedLogins, address: str, number: int, prefix: str = "guess") -> int:
    """How many are looked at."""
    looked_at = 0
    for place in range(number):
        guess = Credentials(key=f"{prefix} {place}")
        try:
            failed.check(request_from(address), guess)
        except RateLimited:
            continue
        looked_at += 1
        failed.note_wrong(request_from(address), guess)
    return looked_at


def limited(now: list[float]) -> FailedLogins:
    return FailedLogins(5, PROXIES, lambda: now[0])


def test_an_address_may_show_so_many_wrong_ones_and_more_with_time() -> None:
    now = [0.0]
    failed = limited(now)
    assert guesses(failed, "203.0.113.1", 20) == 5
    assert guesses(failed, "203.0.113.2", 20) == 5
    now[0] += 12
    assert guesses(failed, "203.0.113.1", 20, "other") == 1


def test_the_right_one_is_looked_at_from_other_addresses_and_from_this_one_later() -> None:
    now = [0.0]
    failed = limited(now)
    guesses(failed, "203.0.113.1", 20)
    failed.check(request_from("203.0.113.2"), RIGHT)
    with pytest.raises(RateLimited) as refused:
        failed.check(request_from("203.0.113.1"), RIGHT)
    assert 0 < refused.value.retry_after <= 12
    now[0] += refused.value.retry_after
    failed.check(request_from("203.0.113.1"), RIGHT)


def test_who_was_known_before_is_not_locked_out_by_who_shares_the_address() -> None:
    failed = limited([0.0])
    failed.note_right(RIGHT)
    guesses(failed, "203.0.113.1", 20)
    failed.check(request_from("203.0.113.1"), RIGHT)
    with pytest.raises(RateLimited):
        failed.check(request_from("203.0.113.1"), Credentials(key="right, perhaps"))


def test_the_same_wrong_one_counts_once_and_none_at_all_does_not() -> None:
    failed, old = limited([0.0]), Credentials(login="an old cookie")
    for _ in range(50):
        failed.check(request_from("203.0.113.1"), old)
        failed.note_wrong(request_from("203.0.113.1"), old)
        failed.note_wrong(request_from("203.0.113.1"), Credentials())
    assert guesses(failed, "203.0.113.1", 20) == 4
    failed.check(request_from("203.0.113.1"), Credentials())


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.7", "::ffff:127.0.0.1"])
def test_loopback_and_trusted_proxies_are_not_counted(address: str) -> None:
    assert guesses(limited([0.0]), address, 20) == 20


def test_an_address_of_ipv6_counts_for_its_network() -> None:
    failed = limited([0.0])
    assert guesses(failed, "2001:db8::1", 20) == 5
    assert guesses(failed, "2001:db8::2", 20, "other") == 0
    assert guesses(failed, "2001:db8:0:1::1", 20) == 5


def test_without_a_limit_nothing_is_remembered() -> None:
    assert guesses(FailedLogins(0, PROXIES), "203.0.113.1", 100) == 100
