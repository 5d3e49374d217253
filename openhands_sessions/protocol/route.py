"""What a row of the table of routes says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from openhands_sessions.core.permissions import Permission
from openhands_sessions.protocol.payloads import Schema

Shape = Any
"""A type that pydantic describes, or a Schema where there is no such type."""
OBJECT: Schema = {"type": "object"}
TEXT: Schema = {"type": "string"}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One of the query."""

    name: str
    schema: Schema = field(default_factory=lambda: TEXT)
    required: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One row. `call` is the method and the path. `reply` is the good answer, if there is one, with its `status` and
    `media`; `errors` are the others by status, besides those that any route may answer. `access` says who may ask,
    `needs` what it must be allowed to do with the conversation of the path, `by_link` whether a link to it is enough,
    and `slashes` whether parameters of the path may hold slashes."""

    call: str
    summary: str
    reply: Shape | None = field(default_factory=dict)
    tag: str = field(kw_only=True)
    query: tuple[Parameter, ...] = ()
    body: Shape | None = None
    body_media: str = "application/json"
    status: int = 200
    media: str = "application/json"
    errors: Mapping[int, Shape] = field(default_factory=dict)
    access: Literal["anyone", "caller", "operator"] = "caller"
    needs: Permission | None = None
    by_link: bool = True
    slashes: bool = False

    @property
    def method(self) -> str:
        return self.call.partition(" ")[0]

    @property
    def path(self) -> str:
        return self.call.partition(" ")[2]

    @property
    def parameters(self) -> list[str]:
        """The names of the path's parameters."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def pattern(self) -> str:
        """The path for aiohttp, whose own parameters do not match every value: they leave out `{` and `}`."""
        matched = "(?s:.+)" if self.slashes else "[^/]+"
        return re.sub(r"{(\w+)}", rf"{{\1:{matched}}}", self.path)

    @property
    def replies(self) -> Mapping[int, Shape]:
        """Every answer by its status."""
        return self.errors if self.reply is None else {self.status: self.reply, **self.errors}
