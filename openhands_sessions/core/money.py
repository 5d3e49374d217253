"""Money in whole micro-dollars, so that sums are exact. Dollars are for people, and for wire forms that have them."""

from math import ceil, floor, isfinite
from typing import TypeAlias

MicroDollars: TypeAlias = int
"""Millionths of a US dollar."""
PER_DOLLAR = 1_000_000
_NOISE = 3
"""Digits of a micro-dollar that count when it is rounded: a product of floats may fall just short of a half."""


def micro_dollars(dollars: float) -> MicroDollars | None:
    """To the nearest micro-dollar, halves up; None for what is no price: below 0, infinite or NaN."""
    if not isfinite(dollars) or dollars < 0:
        return None
    return floor(round(dollars * PER_DOLLAR, _NOISE) + 0.5)


def micro_dollars_up(dollars: float) -> MicroDollars:
    """To the next whole micro-dollar, so that a price is never told too low. Of a finite amount, 0 or more."""
    return max(ceil(round(dollars * PER_DOLLAR, _NOISE)), int(dollars > 0))


def dollars(amount: MicroDollars) -> float:
    """For a wire form that has dollars; `micro_dollars` gives the same amount back."""
    return amount / PER_DOLLAR


def dollars_told(amount: MicroDollars) -> str:
    """For people: two digits behind the point, or as many as there are."""
    whole, part = divmod(abs(amount), PER_DOLLAR)
    digits = f"{part:06}".rstrip("0").ljust(2, "0")
    return f"{'-' if amount < 0 else ''}${whole:,}.{digits}"
