"""The OpenAPI document, made from the table of routes and the models."""

import re
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from openhands_sessions.core.events.schema import event_schemas
from openhands_sessions.protocol.conversations import FilterIn
from openhands_sessions.protocol.errors import ErrorOut
from openhands_sessions.protocol.parameters import ID
from openhands_sessions.protocol.payloads import Schema
from openhands_sessions.protocol.route import TEXT, Route, Shape
from openhands_sessions.protocol.routes import ROUTES
from openhands_sessions.protocol.server_routes import HTML

PLACE = "#/components/schemas/{model}"
ALWAYS = (401, 403, 413, 422, 429, 503)
"""What any route may answer besides: no credentials, a foreign page, too large, a wrong value, too much, no room."""
SECURITY_SCHEMES = {
    "header": {"type": "apiKey", "in": "header", "name": "X-Session-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
    "query": {"type": "apiKey", "in": "query", "name": "session_api_key"},
}


class Components:
    """Schemas by name, with those of all events. `place` is where one is found, with `{model}` for its name."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.schemas: dict[str, Schema] = dict(event_schemas(place))

    def describe(self, shape: Shape, mode: JsonSchemaMode) -> Schema:
        """The schema of what is read (`validation`) or written (`serialization`). Models are referred to by name."""
        if isinstance(shape, dict):
            return shape
        schema = TypeAdapter(shape).json_schema(mode=mode, ref_template=self.place)
        self.schemas.update(schema.pop("$defs", {}))
        if not isinstance(shape, type) or not issubclass(shape, BaseModel):
            return schema
        self.schemas[shape.__name__] = schema
        return self.refer(shape.__name__)

    def refer(self, name: str) -> Schema:
        return {"$ref": self.place.format(model=name)}


def openapi(version: str, base: str = "") -> dict[str, Any]:
    """The document. `base` stands before its paths. Takes some 0.1 s to make."""
    components = Components(PLACE)
    components.describe(FilterIn, "validation")  # the query's `filter` is a text that holds one
    paths: dict[str, dict[str, Schema]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "openhands-sessions",
            "version": version,
            "description": "The REST side. What goes over the socket is described in /api/asyncapi.json.",
        },
        **({"servers": [{"url": base}]} if base else {}),
        "paths": paths,
        "components": {"schemas": components.schemas, "securitySchemes": SECURITY_SCHEMES},
        "security": [{}, *({name: []} for name in SECURITY_SCHEMES)],
    }


def _operation(route: Route, components: Components) -> Schema:
    replies = {**dict.fromkeys(ALWAYS, ErrorOut), **route.replies}
    described: Schema = {
        "summary": route.summary,
        "tags": [route.tag],
        "operationId": _name(route),
        "parameters": _parameters(route),
        "responses": {str(status): _reply(route, status, replies[status], components) for status in sorted(replies)},
    }
    if route.body is not None:
        schema = components.describe(route.body, "validation")
        required = route.body_media != "application/json"
        described["requestBody"] = {"required": required, "content": {route.body_media: {"schema": schema}}}
    return described if route.access != "anyone" else {**described, "security": []}


def _reply(route: Route, status: int, shape: Shape, components: Components) -> Schema:
    media = route.media if status == route.status or shape is HTML else "application/json"
    schema = components.describe(shape, "serialization")
    return {"description": HTTPStatus(status).phrase, "content": {media: {"schema": schema}}}


def _parameters(route: Route) -> list[Schema]:
    filled_in = [
        {"name": name, "in": "path", "required": True, "schema": ID if name == "conversation_id" else TEXT}
        for name in route.parameters
    ]
    asked = [
        {"name": each.name, "in": "query", "required": each.required, "schema": each.schema} for each in route.query
    ]
    return [*filled_in, *asked]


def _name(route: Route) -> str:
    words = re.findall(r"\w+", route.path.removeprefix("/api"))
    return "_".join([route.method.lower(), *words]).replace("-", "_")
