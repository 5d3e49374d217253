"""What tool calls cost, as configurations say it. Pure."""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from openhands_sessions.core.confirmation_rules import LONGEST_PATTERN, main_argument
from openhands_sessions.core.money import MicroDollars, micro_dollars_up
from openhands_sessions.core.texts import Line

MOST_PRICES = 100
"""Of one person's settings."""
HIGHEST_PRICE = 1_000_000.0
"""US dollars."""


class CallPrice(BaseModel):
    """What one call of a tool costs at most. `tool` and `pattern` are shell patterns, compared as those of confirmation
    rules are. `recurring` work goes on costing, so that it has no price."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    tool: Line
    pattern: str | None = Field(None, max_length=LONGEST_PATTERN)
    dollars: float | None = Field(None, ge=0, le=HIGHEST_PRICE)
    recurring: bool = False

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if (self.dollars is None) is not self.recurring:
            raise ValueError("a price has either `dollars`, what one call costs at most, or `recurring = true`")
        return self

    @property
    def micro_dollars(self) -> MicroDollars | None:
        """None for recurring work."""
        return None if self.dollars is None else micro_dollars_up(self.dollars)


def price_of(prices: Iterable[CallPrice], tool: str, arguments: str) -> CallPrice | None:
    """The first price that is for a call, whose arguments are JSON text; None where its price is not known."""
    for price in prices:
        if fnmatchcase(tool, price.tool) and (
            price.pattern is None or fnmatchcase(main_argument(tool, arguments), price.pattern)
        ):
            return price
    return None
