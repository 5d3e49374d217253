"""Bytes of unfinished messages are counted for all callers together; the oldest message gives way."""

import pytest

from openhands_sessions.server.inbound import InboundBudget, InboundShare


class Caller:
    """One share, and whether it was given up."""

    def __init__(self, budget: InboundBudget) -> None:
        self.given_up = 0
        self.share = InboundShare(self._give_up)
        self._budget = budget

    def sends(self, size: int) -> None:
        self._budget.add(self.share, size)

    def finishes(self, left: int = 0) -> None:
        self._budget.keep(self.share, left)

    def _give_up(self) -> None:
        self.given_up += 1


def test_what_is_within_the_bound_stays() -> None:
    budget = InboundBudget(100)
    first, second = Caller(budget), Caller(budget)
    first.sends(60)
    second.sends(40)
    assert (first.given_up, second.given_up, budget.total) == (0, 0, 100)
    second.finishes()
    assert budget.total == 60
    second.sends(40)
    assert (first.given_up, second.given_up, budget.total) == (0, 0, 100)


def test_the_message_that_was_begun_first_gives_way_whatever_its_size() -> None:
    budget = InboundBudget(100)
    small, large, new = Caller(budget), Caller(budget), Caller(budget)
    small.sends(10)
    large.sends(80)
    new.sends(20)
    assert (small.given_up, large.given_up, new.given_up, budget.total) == (1, 0, 0, 100)
    new.sends(1)
    assert (small.given_up, large.given_up, new.given_up, budget.total) == (1, 1, 0, 21)


def test_a_message_larger_than_the_bound_gives_way_itself() -> None:
    budget = InboundBudget(100)
    caller, other = Caller(budget), Caller(budget)
    caller.sends(101)
    assert (caller.given_up, budget.total) == (1, 0)
    other.sends(100)
    assert (other.given_up, budget.total) == (0, 100)


def test_one_that_finishes_is_as_young_as_its_next_message() -> None:
    budget = InboundBudget(100)
    busy, slow = Caller(budget), Caller(budget)
    busy.sends(50)
    slow.sends(40)
    busy.finishes(left=10)
    busy.sends(60)
    assert (busy.given_up, slow.given_up, budget.total) == (0, 1, 70)


@pytest.mark.parametrize("left", [0, 5])
def test_what_was_given_up_is_not_given_back_twice(left: int) -> None:
    budget = InboundBudget(100)
    caller = Caller(budget)
    caller.sends(200)
    caller.finishes(left)
    assert budget.total == 0
