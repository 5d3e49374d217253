"""Functions of a program as tools: what a model is told of them, and what a call does."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from openhands_sessions import tool
from openhands_sessions.core.errors import BadInput
from openhands_sessions.ports.mcp import CallMcp, McpDone
from openhands_sessions.sdk.functions import FunctionTools


class Place(BaseModel):
    """Where something is."""

    city: str
    country: str = "de"


@dataclass
class Degrees:
    """A result."""

    low: int
    high: int


async def call(function: Callable[..., Any], timeout: float = 60.0, **arguments: Any) -> McpDone:
    tools = FunctionTools([function], "talk")
    return await tools.call(CallMcp(name=function.__name__, arguments=arguments, timeout=timeout))


def forecast(
    place: Place, days: Annotated[int, Field(ge=1, description="how many")] = 1, *, schema: Literal["c", "f"] = "c"
) -> Degrees:
    """Look ahead.

    In a second paragraph.

    Args:
        place: where it is
        schema (str): the unit
    Returns:
        place: nothing of this is told
    """
    assert isinstance(place, Place)
    return Degrees(days, len(place.country) + (schema == "f"))


def test_a_model_is_told_types_defaults_and_what_the_docstring_says() -> None:
    [told] = FunctionTools([forecast], "talk").functions
    assert (told.name, told.description, told.idempotent) == (
        "forecast",
        "Look ahead.\n\nIn a second paragraph.",
        False,
    )
    properties: Any = told.parameters["properties"]
    assert told.parameters["required"] == ["place"]
    assert told.parameters["additionalProperties"] is False
    assert properties["days"] == {"default": 1, "description": "how many", "minimum": 1, "type": "integer"}
    assert properties["schema"]["description"] == "the unit"
    assert properties["schema"]["enum"] == ["c", "f"]
    assert properties["place"]["description"] == "where it is"


def test_docstrings_of_sphinx_are_read_too_and_a_mark_is_kept() -> None:
    @tool(idempotent=True)
    def add(one: int, other: int) -> int:
        """Add.

        :param one: the first
        :param int other: the second
        :returns: the sum
        """
        return one + other

    [told] = FunctionTools([add], "talk").functions
    properties: Any = told.parameters["properties"]
    assert told.description == "Add."
    assert [each["description"] for each in properties.values()] == ["the first", "the second"]
    assert told.idempotent


async def test_arguments_arrive_as_the_types_say_and_results_leave_as_json() -> None:
    done = await call(forecast, place={"city": "Ulm"}, days="2", schema="f")
    assert done == McpDone(text='{"low":2,"high":3}')


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "place"),
        ({"place": "Ulm"}, "place"),
        ({"place": {"city": "Ulm"}, "days": 0}, "days"),
        ({"place": {"city": "Ulm"}, "dayz": 1}, "dayz"),
    ],
)
async def test_wrong_arguments_are_named_and_the_function_is_not_called(arguments: dict[str, Any], named: str) -> None:
    done = await call(forecast, **arguments)
    assert done.failed
    assert done.text.startswith(f"Not called: {named}"), done.text


async def test_whatever_a_function_raises_is_told_and_ends_nothing() -> None:
    def leaves() -> None:
        raise SystemExit(3)

    def stops() -> None:
        raise StopIteration

    async def late() -> None:
        raise TimeoutError("its own")

    assert [(done.failed, done.unknown) for done in [await call(leaves), await call(stops), await call(late)]] == [
        (True, False)
    ] * 3
    assert (await call(late)).text == "TimeoutError: its own"


async def test_a_function_that_takes_too_long_has_an_unknown_outcome_and_does_not_hold_the_loop() -> None:
    free = threading.Event()

    def waits() -> None:
        free.wait()

    done = await call(waits, timeout=0.05)
    free.set()
    assert (done.failed, done.unknown) == (False, True)
    assert "did not return within" in done.text


async def test_a_cancelled_call_ends_at_once() -> None:
    free, begun = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def waits() -> None:
        loop.call_soon_threadsafe(begun.set)
        free.wait()

    calling = asyncio.create_task(call(waits))
    async with asyncio.timeout(60):
        await begun.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
    free.set()


async def test_a_function_that_the_program_does_not_have_is_not_called() -> None:
    done = await FunctionTools([], "talk").call(CallMcp(name="gone", arguments={}, timeout=1.0))
    assert (done.failed, done.text) == (True, "Not called: the program has no function 'gone' now.")


def untyped(value) -> None:  # type: ignore[no-untyped-def]
    """Has no type."""


def many(*values: int) -> None:
    """Takes any number."""


def finish() -> None:
    """Has the name of another tool."""


def odd(value: threading.Thread) -> None:
    """Takes what has no JSON form."""


@pytest.mark.parametrize("wrong", [untyped, many, finish, odd, lambda: None, 7])
def test_what_cannot_be_a_tool_is_refused_by_name(wrong: Any) -> None:
    with pytest.raises(BadInput, match="tools"):
        FunctionTools([wrong], "talk")


def test_two_functions_of_one_name_are_refused() -> None:
    with pytest.raises(BadInput, match="'forecast'"):
        FunctionTools([forecast, forecast], "talk")
