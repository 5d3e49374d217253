"""The served OpenAPI document keeps what version 0.1 promised: a later one only adds to it.

`tests/golden/openapi_0.1.json` is the document of that version, without titles, descriptions and summaries.
"""

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from openhands_sessions.protocol.openapi import openapi

OLD: dict[str, Any] = json.loads((Path(__file__).parents[2] / "golden" / "openapi_0.1.json").read_text())
WORDS = ("title", "description", "summary", "discriminator")
"""What says nothing more: a discriminator only names the field that tells alternatives apart."""
OPERATIONS = [(path, method) for path, methods in OLD["paths"].items() for method in methods]
MISSING = object()


@pytest.fixture(scope="module")
def new() -> dict[str, Any]:
    return openapi("1")


@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=lambda value: str(value))
def test_an_operation_differs_only_by_additions(path: str, method: str, new: dict[str, Any]) -> None:
    assert list(differences(path, method, new)) == []


def test_an_added_field_parameter_route_or_reply_is_no_difference() -> None:
    new = copy.deepcopy(OLD)
    new["paths"]["/api/new"] = {"get": {}}
    listing = new["paths"]["/api/conversations"]["get"]
    listing["parameters"].append({"name": "new", "in": "query", "required": False, "schema": {"type": "string"}})
    listing["responses"]["429"] = {}
    schemas = new["components"]["schemas"]
    schemas["ConversationOut"]["properties"]["new"] = {"type": "string"}
    schemas["ConversationOut"]["required"].append("new")
    schemas["CreateIn"]["properties"]["new"] = {"type": "string"}
    assert found(new) == []


def _rename_title(new: dict[str, Any]) -> None:
    properties = new["components"]["schemas"]["ConversationOut"]["properties"]
    properties["name"] = properties.pop("title")


def _need_a_field(new: dict[str, Any]) -> None:
    new["components"]["schemas"]["CreateIn"]["required"] = ["repository"]


def _free_a_field(new: dict[str, Any]) -> None:
    new["components"]["schemas"]["ConversationOut"]["required"].remove("title")


def _shorten_the_body(new: dict[str, Any]) -> None:
    new["components"]["schemas"]["RenameIn"]["properties"]["title"]["maxLength"] = 100


def _bound_a_body(new: dict[str, Any]) -> None:
    new["components"]["schemas"]["SecretIn"]["properties"]["name"]["maxLength"] = 100


def _change_an_event(new: dict[str, Any]) -> None:
    new["components"]["schemas"]["RunAction"]["properties"]["id"]["type"] = "string"


def _need_a_parameter(new: dict[str, Any]) -> None:
    parameter = {"name": "new", "in": "query", "required": True, "schema": {"type": "string"}}
    new["paths"]["/api/conversations"]["get"]["parameters"].append(parameter)


def _drop_a_parameter(new: dict[str, Any]) -> None:
    new["paths"]["/api/conversations"]["get"]["parameters"].pop()


def _drop_a_route(new: dict[str, Any]) -> None:
    del new["paths"]["/api/secrets/{name}"]["delete"]


def _drop_a_status(new: dict[str, Any]) -> None:
    del new["paths"]["/api/secrets"]["post"]["responses"]["201"]


def _drop_a_choice(new: dict[str, Any]) -> None:
    new["components"]["schemas"]["FeedbackIn"]["properties"]["polarity"]["enum"].remove("positive")


@pytest.mark.parametrize(
    "change",
    [
        *(_rename_title, _need_a_field, _free_a_field, _shorten_the_body, _bound_a_body, _change_an_event),
        *(_need_a_parameter, _drop_a_parameter, _drop_a_route, _drop_a_status, _drop_a_choice),
    ],
)
def test_anything_else_is_a_difference(change: Callable[[dict[str, Any]], None]) -> None:
    new = copy.deepcopy(OLD)
    change(new)
    assert found(new) != []


def found(new: dict[str, Any]) -> list[str]:
    return [each for path, method in OPERATIONS for each in differences(path, method, new)]


def differences(path: str, method: str, new: dict[str, Any]) -> Iterator[str]:
    """What of an operation is not as it was."""
    old_one = OLD["paths"][path][method]
    new_one = new["paths"].get(path, {}).get(method)
    if new_one is None:
        yield f"{method} {path} is missing"
        return
    if old_one["operationId"] != new_one["operationId"]:
        yield f"{old_one['operationId']} is named {new_one['operationId']}"
    yield from _of_parameters(old_one["parameters"], new_one["parameters"])
    old_body, new_body = old_one.get("requestBody", {}), new_one.get("requestBody", {})
    for media, body in old_body.get("content", {}).items():
        yield from of_schemas(body, new_body.get("content", {}).get(media, {}), new, sent=True, place=f"body {media}")
    if old_body.get("required", False) != new_body.get("required", False):
        yield "whether there must be a body"
    for status, reply in old_one["responses"].items():
        if int(status) >= 400:
            yield from _of_errors(status, reply, new_one)
            continue
        yield from of_schemas(
            reply.get("content", {}), new_one["responses"].get(status, {}).get("content"), new, sent=False, place=status
        )


def _of_errors(status: str, old: dict[str, Any], operation: dict[str, Any]) -> Iterator[str]:
    """Errors have one form since; it holds what they had."""
    new = operation["responses"].get(status, {})
    schema = new.get("content", {}).get("application/json", {}).get("schema")
    if new != old and schema != {"$ref": "#/components/schemas/ErrorOut"}:
        yield f"{status} is not an error as all are"


def _of_parameters(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> Iterator[str]:
    before, after = ({(each["in"], each["name"]): _plain(each) for each in listed} for listed in (old, new))
    yield from (f"parameter {name}" for name, parameter in before.items() if after.get(name) != parameter)
    yield from (f"parameter {name} is needed" for name in after.keys() - before.keys() if after[name]["required"])


def of_schemas(old: Any, new: Any, document: dict[str, Any], *, sent: bool, place: str) -> Iterator[str]:
    """Where a schema promises less than the old one. What a client sends must be taken as before, so no constraint
    may be added; what it is sent may carry more."""
    old, new = _followed(old, OLD), _followed(new, document)
    match old, new:
        case dict(), dict():
            yield from _of_objects(old, new, document, sent=sent, place=place)
        case [*befores], [*afters]:
            for before in befores:
                likeliest_first = sorted(afters, key=before.__ne__)
                compared = (of_schemas(before, after, document, sent=sent, place=place) for after in likeliest_first)
                if all(next(each, None) for each in compared):
                    yield f"{place}: {before}"
        case _:
            if old != new:
                yield f"{place}: {old} is {'missing' if new is MISSING else new}"


def _of_objects(
    old: dict[str, Any], new: dict[str, Any], document: dict[str, Any], *, sent: bool, place: str
) -> Iterator[str]:
    fields = place.endswith("properties")
    for key, value in old.items():
        if (key in WORDS and not fields) or (sent and key == "required"):
            continue
        yield from of_schemas(value, new.get(key, MISSING), document, sent=sent, place=f"{place}.{key}")
    if not sent or fields:
        return
    if set(new.get("required", ())) - set(old.get("required", ())):
        yield f"{place}: more is needed"
    for key in new.keys() - old.keys() - {*WORDS, "required", "properties", "$ref"}:
        yield f"{place}: {key} is new"


def _followed(schema: Any, document: Mapping[str, Any]) -> Any:
    """A schema without a reference at its top, and with one type in each place."""
    while isinstance(schema, dict) and isinstance(schema.get("$ref"), str):
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if isinstance(schema, dict) and isinstance(kinds := schema.get("type"), list):
        return {"anyOf": [{**schema, "type": kind} for kind in kinds]}
    return schema


def _plain(value: Any) -> Any:
    match value:
        case dict():
            return {key: _plain(each) for key, each in value.items() if key not in WORDS}
        case _:
            return value
