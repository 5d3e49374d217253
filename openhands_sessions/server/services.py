"""What handlers are given: typed keys, and the questions that every handler asks."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel

from openhands_sessions.core.errors import BadInput, NotFound
from openhands_sessions.core.ids import ConversationId, conversation_id
from openhands_sessions.core.json_limits import check_nesting
from openhands_sessions.core.json_text import read_json
from openhands_sessions.ports.access import (
    Access,
    AccessControl,
    Auth,
    Feedback,
    Principal,
    UserSecrets,
    UserSettingsStore,
)
from openhands_sessions.ports.operations import ModelProbe, Operations, OperatorCommands
from openhands_sessions.protocol.payloads import checked
from openhands_sessions.protocol.route import Parameter, Route
from openhands_sessions.protocol.routes import ROUTES
from openhands_sessions.server.identification import PRINCIPAL
from openhands_sessions.server.inbound import LIMITS, read_body

WHOLE = re.compile(r"-?[0-9]{1,18}")
"""No more digits than any limit of ours has."""
P = TypeVar("P", bound=BaseModel)
_ROUTES = {(route.method, route.path): route for route in ROUTES}


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What a user may choose from."""

    agents: tuple[str, ...]
    security_analyzers: tuple[str, ...]
    models: Callable[[], Awaitable[Sequence[str]]]
    """By litellm's names, sorted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """The ports that handlers call."""

    access: AccessControl
    operations: Operations
    operators: OperatorCommands
    model_probe: ModelProbe
    settings: UserSettingsStore
    secrets: UserSecrets
    feedback: Feedback
    options: Options
    auth: Auth
    version: str
    new_id: Callable[[], str]
    trajectory_bytes: int
    """The longest one that may be replayed."""
    slow_client_grace: float
    """Seconds after which a client that does not read is cut."""
    started: float
    """On the event loop's clock."""
    data_dir: Path


SERVICES = web.AppKey("services", Services)


def services(request: web.Request) -> Services:
    return request.app[SERVICES]


def principal(request: web.Request) -> Principal:
    return request[PRINCIPAL]


def access(request: web.Request) -> Access:
    """The ports as the caller may use them."""
    return services(request).access.of(principal(request))


def route_of(request: web.Request) -> Route | None:
    """The row of a request's route; None for a page, and for what is no route."""
    resource = request.match_info.route.resource
    return None if resource is None else _ROUTES.get((request.method, resource.canonical))


async def permitted(request: web.Request) -> ConversationId:
    """The conversation of the path, with which the caller may do what the route needs. Raises NotFound, also for an id
    that can be none, and Forbidden."""
    text = request.match_info["conversation_id"]
    try:
        sid = conversation_id(text)
    except BadInput:
        raise NotFound("conversation", text[:64]) from None
    route = route_of(request)
    assert route is not None
    assert route.needs is not None
    await access(request).conversations.check(sid, route.needs)
    return sid


async def body(request: web.Request, kind: type[P]) -> P:
    """The request's JSON as `kind`; an empty body counts as `{}`. Raises BadInput, TooLarge, AtCapacity."""
    return checked(kind, await mapping(request))


async def body_in_thread(request: web.Request, kind: type[P], most: int) -> P:
    """As `body`, of at most `most` bytes, read and checked beside the event loop: for JSON of many small parts."""
    raw = await read_body(request, min(most, request.app[LIMITS].message_bytes))
    return await asyncio.to_thread(lambda: checked(kind, object_of(raw)))


async def mapping(request: web.Request) -> dict[str, Any]:
    """The request's JSON object; an empty body counts as `{}`. Raises BadInput, TooLarge, AtCapacity."""
    return object_of(await read_body(request, request.app[LIMITS].message_bytes))


def object_of(raw: bytes) -> dict[str, Any]:
    """The JSON object of a body; an empty one counts as `{}`. Raises BadInput."""
    try:
        value: Any = read_json(raw) if raw.strip() else {}
    except ValueError as error:
        raise BadInput("the body", f"must be JSON: {error}") from None
    check_nesting(value, "the body")
    if not isinstance(value, dict):
        raise BadInput("the body", f"must be a JSON object, not {type(value).__name__}")
    return value


def boolean(request: web.Request, parameter: Parameter) -> bool:
    """Whether a parameter of the query is true."""
    return request.query.get(parameter.name, "").lower() in ("true", "1")


def number(request: web.Request, parameter: Parameter) -> int:
    """A whole number of the query; without a default, the largest where it is left out. Raises BadInput."""
    least, most = parameter.schema["minimum"], parameter.schema["maximum"]
    default: int = ({"default": most} | parameter.schema)["default"]
    text = request.query.get(parameter.name, "")
    return whole(parameter.name, text, least, most) if text else default


def whole(name: str, text: str, least: int, most: int) -> int:
    """Raises BadInput that names where the number stands."""
    if not WHOLE.fullmatch(text) or not least <= int(text) <= most:
        raise BadInput(name, f"must be a whole number from {least} to {most}")
    return int(text)
