"""What calls cost, as configurations say it."""

from typing import Any

import pytest
from pydantic import ValidationError

from openhands_sessions.core.call_prices import CallPrice, price_of
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.money import micro_dollars_up
from openhands_sessions.core.settings import merge
from openhands_sessions.core.user_settings import UserSettings, changed, layer

NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("dollars", "expected"), [(0, 0), (0.25, 250_000), (1e-6, 1), (1.1e-6, 2), (1e-12, 1), (3, 3_000_000)]
)
def test_a_price_is_never_rounded_down(dollars: float, expected: int) -> None:
    assert micro_dollars_up(dollars) == expected


@pytest.mark.parametrize("dollars", [-0.01, NAN, INFINITE, -INFINITE, 1e7, "cheap", [1]])
def test_what_is_no_price_is_refused_with_the_name_of_its_field(dollars: Any) -> None:
    with pytest.raises(BadInput) as refused:
        merge({"call_prices": [{"tool": "train", "dollars": dollars}]})
    assert refused.value.field.startswith("call_prices.0")


@pytest.mark.parametrize("name", ["auto_approval_budget", "spending_pause_at"])
@pytest.mark.parametrize("amount", [-1, NAN, INFINITE, "much"])
def test_what_is_no_amount_is_refused(name: str, amount: Any) -> None:
    for settings in (lambda given: merge(given), lambda given: changed(None, given)):
        with pytest.raises(BadInput) as refused:
            settings({name: amount})
        assert refused.value.field == name


@pytest.mark.parametrize("given", [{}, {"dollars": 1, "recurring": True}])
def test_a_price_says_what_a_call_costs_or_that_the_work_recurs(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"either `dollars`.*or `recurring = true`"):
        CallPrice.model_validate({"tool": "train", **given})


def test_the_first_price_that_matches_counts() -> None:
    prices = [
        CallPrice(tool="execute_bash", pattern="train --large*", dollars=2),
        CallPrice(tool="execute_bash", pattern="train*", dollars=1),
        CallPrice(tool="jobs_*", recurring=True),
    ]
    for tool, arguments, expected in (
        ("execute_bash", '{"command": "train --large x"}', prices[0]),
        ("execute_bash", '{"command": "train x"}', prices[1]),
        ("execute_bash", '{"command": "ls"}', None),
        ("jobs_schedule", '{"every": "day"}', prices[2]),
        ("other", "no json", None),
    ):
        assert price_of(prices, tool, arguments) is expected


def test_prices_of_inner_layers_come_first() -> None:
    user = layer(changed(None, {"call_prices": [{"tool": "a", "dollars": 2}], "auto_approval_budget": 3}))
    operator: dict[str, Any] = {"call_prices": [{"tool": "*", "dollars": 9}], "auto_approval_budget": 1}
    settings = merge(operator, user, {"call_prices": [{"tool": "a", "dollars": 1}]})
    assert [price.dollars for price in settings.call_prices] == [1, 2, 9]
    assert settings.auto_approval_budget == 3


def test_settings_that_a_v0_client_sends_keep_what_it_does_not_know() -> None:
    before = changed(None, {"call_prices": [{"tool": "a", "dollars": 2}], "spending_pause_at": 0})
    after = changed(before, {"language": "en"})
    assert isinstance(after, UserSettings)
    assert (after.call_prices, after.spending_pause_at) == (before.call_prices, 0)
