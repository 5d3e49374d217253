"""What a quota leaves."""

from datetime import UTC, date, datetime

import pytest

from openhands_sessions.core.errors import LimitReached
from openhands_sessions.core.quotas import Quota, Share, check, covering, resets_at

DAY = date(2026, 12, 31)


def test_a_quota_covers_the_models_of_its_pattern() -> None:
    quotas = [Quota(models="anthropic/*", tokens=1), Quota(tokens=1), Quota(models="openai/gpt-?o", tokens=1)]
    assert covering(quotas, "openai/gpt-4o") == quotas[1:]
    assert covering(quotas, "Anthropic/x") == quotas[1:2]


@pytest.mark.parametrize(
    ("quota", "full", "over"),
    [
        (Quota(tokens=10), Share(tokens=6), Share(tokens=7)),
        (Quota(micro_dollars=10), Share(micro_dollars=6), Share(micro_dollars=7)),
        (Quota(conversations=5), Share(conversations=1), Share(conversations=2)),
    ],
)
def test_the_last_of_a_quota_can_be_taken_and_no_more(quota: Quota, full: Share, over: Share) -> None:
    taken = Share(tokens=4, micro_dollars=4, conversations=4)
    check(quota, taken, full, DAY)
    with pytest.raises(LimitReached):
        check(quota, taken, over, DAY)


def test_a_refusal_says_which_quota_how_much_and_when_it_begins_anew() -> None:
    with pytest.raises(LimitReached) as refused:
        check(Quota(micro_dollars=2_000_000), Share(micro_dollars=1_990_000), Share(micro_dollars=12_345), DAY)
    assert refused.value.message == (
        "Your quota of today for all models is taken: $1.99 of $2.00 are used or reserved, and this call needs about "
        "$0.012345. It begins anew at 2027-01-01 00:00 UTC."
    )
    assert (refused.value.limit, refused.value.count) == (2_000_000, 1_990_000)


def test_a_day_ends_at_midnight_utc() -> None:
    assert resets_at(DAY) == datetime(2027, 1, 1, tzinfo=UTC)
