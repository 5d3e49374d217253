"""Arguments of tool calls: validated by pydantic, with errors that a model can act on."""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from openhands_sessions.core.events.actions import UNKNOWN_RISK
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.settings import bad_input

A = TypeVar("A", bound="Arguments")

RISKS = {"LOW": 0, "MEDIUM": 1, "HIGH": 2}


class Arguments(BaseModel):
    """Arguments of a call. Unknown ones, which models invent, are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    security_risk: Json = None
    """The model's own guess; an invalid one counts as unknown."""

    @property
    def risk(self) -> int:
        """-1 (unknown) to 2 (high)."""
        match self.security_risk:
            case str() as name:
                return RISKS.get(name.upper(), UNKNOWN_RISK)
            case int() as number if not isinstance(number, bool) and number in RISKS.values():
                return number
            case _:
                return UNKNOWN_RISK


def checked(kind: type[A], arguments: Mapping[str, Json]) -> A:
    """The arguments as `kind`. Raises BadInput that names the first wrong one."""
    try:
        return kind.model_validate(dict(arguments))
    except ValidationError as error:
        raise bad_input(error, "arguments") from None


def function(name: str, description: str, required: list[str], **properties: Json) -> Mapping[str, Json]:
    """A function schema in the form that models are given."""
    parameters: dict[str, Json] = {"type": "object", "properties": properties, "required": list(required)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


def present(**arguments: Json) -> Mapping[str, Json]:
    """The arguments of a call whose value is not None."""
    return {name: value for name, value in arguments.items() if value is not None}


def risk_name(risk: int) -> str | None:
    """The name of a risk; None if it is unknown."""
    return next((name for name, number in RISKS.items() if number == risk), None)
