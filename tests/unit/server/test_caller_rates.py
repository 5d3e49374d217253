"""Which callers share a rate, and how many are remembered."""

from collections import UserDict
from typing import Any
from weakref import ref

import pytest

from openhands_sessions.core.errors import RateLimited
from openhands_sessions.core.ids import OwnerId
from openhands_sessions.ports.access import Principal, Role
from openhands_sessions.server import caller_rates
from openhands_sessions.server.caller_rates import CallerRates, RateLimits, Rates
from openhands_sessions.server.identification import PRINCIPAL

RATES = Rates(messages_per_second=2, messages_burst=3, creates_per_minute=6, requests_per_second=1)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Connection:
    """As far as it matters here, a transport: something that ends."""


def asks(owner: str, address: str, transport: object) -> Any:
    """What is read of a request: a mapping with attributes."""

    class Request(UserDict[Any, Any]):
        pass

    request: Any = Request({PRINCIPAL: Principal(owner=OwnerId(owner), role=Role.USER)})
    request.remote, request.transport = address, transport
    return request


def taken(rates: CallerRates, name: str) -> int:
    """How many may be taken now."""
    for count in range(1_000):
        try:
            getattr(rates, name).take()
        except RateLimited:
            return count
    return 1_000


def test_who_uses_a_key_from_one_address_shares_its_rates() -> None:
    limits, one = RateLimits(RATES, keyed=True, clock=Clock()), Connection()
    assert taken(limits.of(asks("ada", "10.0.0.1", one)), "messages") == 3
    assert taken(limits.of(asks("ada", "10.0.0.1", Connection())), "messages") == 0
    assert taken(limits.of(asks("ada", "10.0.0.2", one)), "messages") == 3
    assert taken(limits.of(asks("bob", "10.0.0.1", one)), "messages") == 3


def test_a_user_has_one_rate_from_wherever_it_calls() -> None:
    limits = RateLimits(RATES, keyed=True, users=True, clock=Clock())
    assert taken(limits.of(asks("ada", "2001:db8::1", Connection())), "messages") == 3
    assert taken(limits.of(asks("ada", "2001:db8::2", Connection())), "messages") == 0
    assert taken(limits.of(asks("bob", "2001:db8::1", Connection())), "messages") == 3


def test_where_no_key_is_needed_each_connection_has_rates_of_its_own() -> None:
    limits, one, another = RateLimits(RATES, keyed=False, clock=Clock()), Connection(), Connection()
    assert taken(limits.of(asks("local", "127.0.0.1", one)), "messages") == 3
    assert taken(limits.of(asks("local", "127.0.0.1", another)), "messages") == 3
    assert taken(limits.of(asks("local", "127.0.0.1", one)), "messages") == 0


def test_rates_of_a_connection_are_forgotten_with_it() -> None:
    limits, one = RateLimits(RATES, keyed=False, clock=Clock()), Connection()
    remembered = ref(limits.of(asks("local", "127.0.0.1", one)))
    assert remembered() is not None
    del one
    assert remembered() is None


def test_each_kind_of_rate_comes_back_with_time_and_not_beyond_its_burst() -> None:
    clock = Clock()
    rates = CallerRates(RATES, clock)
    assert [taken(rates, name) for name in ("messages", "creates", "requests")] == [3, 6, 4]
    clock.now = 1.0
    assert [taken(rates, name) for name in ("messages", "creates", "requests")] == [2, 0, 1]
    clock.now = 1_000.0
    assert [taken(rates, name) for name in ("messages", "creates", "requests")] == [3, 6, 4]


def test_a_rate_of_0_is_no_limit() -> None:
    assert taken(CallerRates(Rates(), Clock()), "messages") == 1_000


def test_a_refusal_says_what_came_too_fast_and_when_to_come_again() -> None:
    rates = CallerRates(RATES, Clock())
    taken(rates, "creates")
    with pytest.raises(RateLimited, match=r"too many new conversations; the next may come in 10\.0 s") as refused:
        rates.creates.take()
    assert refused.value.retry_after == pytest.approx(10)


def test_callers_are_remembered_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_rates, "MOST_CALLERS", 2)
    limits = RateLimits(RATES, keyed=True, clock=Clock())
    for owner in ("ada", "bob", "ada", "eve"):
        taken(limits.of(asks(owner, "", None)), "messages")
    assert taken(limits.of(asks("ada", "", None)), "messages") == 0
    assert taken(limits.of(asks("bob", "", None)), "messages") == 3, "bob asked longest ago"
