"""What a process counts."""

from openhands_sessions.core.events.own import CallOutcome
from openhands_sessions.core.measurements import LONGEST_MODEL, MOST_MODELS, OTHER_MODELS, Histogram, ModelUses
from tests.support.model_replies import called


def test_a_number_counts_for_the_least_bound_that_it_does_not_exceed() -> None:
    histogram = Histogram((0.1, 1.0))
    for number in (0.05, 0.1, 0.5, 3.0):
        histogram.observe(number)
    assert (histogram.counts, histogram.sum) == ([2, 1, 1], 3.65)


def test_a_model_that_has_never_answered_is_not_told_by_its_name() -> None:
    uses = ModelUses()
    uses.add(called("made-up", CallOutcome.FAILED))
    assert [*uses.by_name] == [OTHER_MODELS]
    uses.add(called("real"))
    uses.add(called("real", CallOutcome.FAILED))
    assert uses.by_name["real"].calls == {"answered": 1, "failed": 1}


def test_the_operators_model_is_told_from_the_start() -> None:
    uses = ModelUses("own")
    uses.add(called("own", CallOutcome.FAILED))
    assert {name: use.calls for name, use in uses.by_name.items()} == {"own": {"failed": 1}}


def test_so_many_models_and_so_long_names_are_told_and_no_more() -> None:
    uses = ModelUses("own")
    for number in range(3 * MOST_MODELS):
        uses.add(called(f"model-{number}"))
    uses.add(called("x" * (LONGEST_MODEL + 1)))
    assert len(uses.by_name) == MOST_MODELS + 1  # with the one for all others
    assert sum(use.calls["answered"] for use in uses.by_name.values()) == 3 * MOST_MODELS + 1
    assert uses.by_name[OTHER_MODELS].calls["answered"] == 2 * MOST_MODELS + 2


def test_calls_count_with_their_tokens_and_their_cost_and_answered_ones_with_their_time() -> None:
    uses = ModelUses()
    for outcome in (CallOutcome.ANSWERED, CallOutcome.ANSWERED, CallOutcome.CANCELLED):
        uses.add(called("real", outcome))
    use = uses.by_name["real"]
    assert use.calls == {"answered": 2, "cancelled": 1}
    assert use.tokens == {"prompt": 21, "completion": 9, "cache_read": 6, "cache_write": 0}
    assert (use.micro_dollars, use.seconds) == (750_000, 3.0)
