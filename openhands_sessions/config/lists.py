"""Settings that are lists of tables."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from openhands_sessions.config.section import Section
from openhands_sessions.config.values import from_json


class RuleSection(Section):
    """One element of `agent.confirmation_rules`."""

    tool: str = Field("*", max_length=256)
    pattern: str | None = Field(None, max_length=4_000)
    risk: Literal["low", "medium", "high", "unknown", "any"] = "any"
    decision: Literal["allow", "ask", "deny"]


Rules = Annotated[
    tuple[RuleSection, ...],
    Field(max_length=100),
    BeforeValidator(from_json),
    WithJsonSchema({"type": "array", "format": "rules"}),
]


class PriceSection(Section):
    """One element of `agent.call_prices`."""

    tool: str = Field(max_length=256)
    pattern: str | None = Field(None, max_length=4_000)
    dollars: float | None = Field(None, ge=0, le=1_000_000, allow_inf_nan=False)
    recurring: bool = False

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if (self.dollars is None) is not self.recurring:
            raise ValueError("a price has either `dollars`, what one call costs at most, or `recurring = true`")
        return self


Prices = Annotated[
    tuple[PriceSection, ...],
    Field(max_length=100),
    BeforeValidator(from_json),
    WithJsonSchema({"type": "array", "format": "prices"}),
]


class QuotaSection(Section):
    """One element of `quotas`."""

    models: str = Field("*", min_length=1, max_length=256)
    tokens: int | None = Field(None, ge=1, le=10**15)
    dollars: float | None = Field(None, gt=0, le=10**9)
    conversations: int | None = Field(None, ge=1, le=10**9)

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.tokens is None and self.dollars is None and self.conversations is None:
            raise ValueError("a quota limits at least one of tokens, dollars and conversations")
        return self


Quotas = Annotated[
    tuple[QuotaSection, ...],
    Field(max_length=100),
    BeforeValidator(from_json),
    WithJsonSchema({"type": "array", "format": "quotas"}),
]
