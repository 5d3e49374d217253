"""What all models of the wire share: reading what comes in, writing what goes out.

A name that ends in `In` is what a server is sent, in `Out` what it answers.
"""

from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationError, WithJsonSchema

from openhands_sessions.core.events.codec import timestamp_text
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.settings import bad_input

P = TypeVar("P", bound=BaseModel)
Schema = dict[str, Any]
Text = Annotated[str, Field(max_length=1_000_000)]
Timestamp = Annotated[datetime, PlainSerializer(timestamp_text), WithJsonSchema({"type": "string"})]


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
        raise bad_input(error, "the payload", known=kind.model_fields) from None
