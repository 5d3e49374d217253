"""Sends right and wrong requests to every operation of the OpenAPI document, and checks the answers against it."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

CHECKS = [not_a_server_error, response_schema_conformance, status_code_conformance]
LONGEST = 30.0
"""Seconds that an answer may take."""
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)


def fuzz_routes(
    url: str, document: Mapping[str, Any], known: Mapping[str, str], *, times: int, number: int, seconds: float = 0.0
) -> int:
    """Ask each operation `times` times in each mode, over and over for so many seconds, but once at least; `known` are
    path parameters that name something. `number` is the first round's seed. How many answers were judged. Raises what
    schemathesis raises of a wrong answer."""
    schema = schemathesis.openapi.from_dict(dict(document))
    until, asked, place = time.monotonic() + seconds, 0, 0
    while not place or time.monotonic() < until:
        for operation in _operations(schema):
            if place and time.monotonic() >= until:
                break
            for mode in MODES:
                asked += _ask(operation, mode, url, known, times=times, number=number + place)
        place += 1
    return asked


def ask_with_path_values(url: str, document: Mapping[str, Any], names: Sequence[str]) -> int:
    """Ask each operation that has path parameters with each of these names, without a body. How many answers were
    judged. Raises what schemathesis raises of a wrong answer."""
    asked = 0
    for operation in _operations(schemathesis.openapi.from_dict(dict(document))):
        parameters = [each.name for each in operation.path_parameters]
        for name in names if parameters else ():
            case = operation.Case(path_parameters=dict.fromkeys(parameters, quote(name, safe="")))
            case.validate_response(case.call(base_url=url, timeout=LONGEST), checks=CHECKS)
            asked += 1
    return asked


def _operations(schema: Any) -> Iterator[Any]:
    for result in schema.get_all_operations():
        yield result.ok()


def _streams(operation: Any) -> bool:
    """Whether a good answer has no end."""
    return "text/event-stream" in operation.definition.raw["responses"].get("200", {}).get("content", {})


def _ask(operation: Any, mode: GenerationMode, url: str, known: Mapping[str, str], *, times: int, number: int) -> int:
    asked = 0

    @seed(number)
    @settings(
        max_examples=times,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), real=st.booleans())
    def ask(case: Any, real: bool) -> None:
        nonlocal asked
        if real and operation.method.upper() != "DELETE" and not _streams(operation):
            case.path_parameters.update({name: known[name] for name in case.path_parameters if name in known})
        response = case.call(base_url=url, timeout=LONGEST)
        case.validate_response(response, checks=CHECKS)
        asked += 1

    with suppress(Unsatisfiable):  # there is nothing wrong to ask of an operation that takes nothing
        ask()
    return asked
