"""Money in micro-dollars."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openhands_sessions.core.money import dollars, dollars_told, micro_dollars


@given(st.integers(0, 10**15))
def test_an_amount_survives_its_form_in_dollars(amount: int) -> None:
    assert micro_dollars(dollars(amount)) == amount


@pytest.mark.parametrize(
    ("given_dollars", "amount"),
    [(3 * 2.5e-06, 8), (0.1 + 0.2, 300_000), (4e-08, 0), (5e-07, 1), (0.00004, 40), (0, 0), (1, 1_000_000)],
)
def test_halves_are_rounded_up_whatever_the_noise_of_floats(given_dollars: float, amount: int) -> None:
    assert micro_dollars(given_dollars) == amount


@pytest.mark.parametrize("odd", [-0.01, float("nan"), float("inf"), float("-inf")])
def test_what_is_no_price_is_none(odd: float) -> None:
    assert micro_dollars(odd) is None


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "$0.00"), (40, "$0.00004"), (1_500_000, "$1.50"), (1_234_000_001, "$1,234.000001")]
)
def test_people_read_as_many_digits_as_there_are(amount: int, text: str) -> None:
    assert dollars_told(amount) == text
