"""What all models of the wire share: reading what comes in, writing what goes out.

A name that ends in `In` is what a server is sent, in `Out` what it answers.
"""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.event import Json

P = TypeVar("P", bound=BaseModel)
Schema = dict[str, Any]
Text = Annotated[str, Field(max_length=1_000_000)]


class Message(BaseModel):
    """Something that is sent or received; unknown keys are ignored."""

    model_config = ConfigDict(frozen=True, defer_build=True)  # all at import would slow every start

    def wire(self) -> dict[str, Json]:
        """The fields that were given, as JSON values."""
        return self.model_dump(mode="json", exclude_unset=True)


class Payload(Message):
    """A body from a client: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")


class Reply(Message):
    """An answer of the server. It has exactly these keys; a reader ignores those of a newer server."""

    model_config = ConfigDict(extra="forbid")


def checked(kind: type[P], value: object) -> P:
    """`value` as `kind`. Raises BadInput that names the field."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise bad_input(error) from None


def bad_input(error: ValidationError, skipped: int = 0) -> BadInput:
    """The first problem of a validation; `skipped` parts of its location are left out of the field's name."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"][skipped:])
    return BadInput(place or "the payload", f"is wrong: {first['msg']}")
