"""The OpenAPI document of the REST side, put together from the operations and the models."""

import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from openhands_sessions.core.events.schema import event_schemas
from openhands_sessions.server.schema import conversations, users
from openhands_sessions.server.schema.operations import ID, TEXT, Operation, Schema, Shape
from openhands_sessions.server.schema.replies import ErrorOut
from openhands_sessions.server.wire import MessageIn, StateIn

OPERATIONS = (*conversations.OPERATIONS, *users.OPERATIONS)
PLACE = "#/components/schemas/{model}"
ALWAYS = (401, 403, 413, 422, 503)
"""What any route may answer besides: no credentials, a foreign page, too large, a wrong value, no room."""
_PARAMETER = re.compile(r"{(\w+)}")


def openapi(version: str) -> dict[str, Any]:
    """The document. Takes some 0.1 s to make."""
    paths: dict[str, dict[str, Schema]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "openhands-sessions",
            "version": version,
            "description": "The REST side. What goes over the socket is in /api/socket.schema.json.",
        },
        "paths": paths,
        "components": {
            "schemas": {**event_schemas(PLACE), **model_schemas(_models(), PLACE)},
            "securitySchemes": {
                "header": {"type": "apiKey", "in": "header", "name": "X-Session-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "query": {"type": "apiKey", "in": "query", "name": "session_api_key"},
            },
        },
        "security": [{}, {"header": []}, {"bearer": []}, {"query": []}],
    }


def model_schemas(models: Iterable[type[BaseModel]], place: str) -> dict[str, Schema]:
    """Schemas of models by name, and of what they refer to."""
    _, found = models_json_schema([(model, "validation") for model in models], ref_template=place)
    schemas: dict[str, Schema] = found.get("$defs", {})
    return schemas


def _models() -> Iterator[type[BaseModel]]:
    yield from (ErrorOut, MessageIn, StateIn, *conversations.REFERRED)
    for operation in OPERATIONS:
        for shape in (operation.body, *operation.replies.values()):
            if isinstance(shape, type):
                yield shape


def _described(operation: Operation) -> Schema:
    described: Schema = {
        "summary": operation.summary,
        "tags": [operation.tag],
        "operationId": _name(operation),
        "parameters": [*_path_parameters(operation.path), *_query_parameters(operation)],
        "responses": {str(status): _reply(operation, status) for status in sorted({*operation.replies, *ALWAYS})},
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": operation.body_media != "application/json",
            "content": {operation.body_media: {"schema": _schema(operation.body)}},
        }
    return described


def _reply(operation: Operation, status: int) -> Schema:
    media = operation.media if status < HTTPStatus.BAD_REQUEST else "application/json"
    shape = operation.replies.get(status, ErrorOut)
    return {"description": HTTPStatus(status).phrase, "content": {media: {"schema": _schema(shape)}}}


def _schema(shape: Shape) -> Schema:
    return {"$ref": PLACE.format(model=shape.__name__)} if isinstance(shape, type) else shape


def _path_parameters(path: str) -> list[Schema]:
    return [
        {"name": name, "in": "path", "required": True, "schema": ID if name == "conversation_id" else TEXT}
        for name in _PARAMETER.findall(path)
    ]


def _query_parameters(operation: Operation) -> list[Schema]:
    return [
        {
            "name": name,
            "in": "query",
            "required": bool(schema.get("required")),
            "schema": {key: value for key, value in schema.items() if key != "required"},
        }
        for name, schema in operation.query.items()
    ]


def _name(operation: Operation) -> str:
    words = re.findall(r"\w+", operation.path.removeprefix("/api"))
    return "_".join([operation.method.lower(), *words]).replace("-", "_")
