"""How deep JSON may be."""

from typing import Any

import pytest

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.json_limits import MAX_DEPTH, check_nesting, too_deep


def nested(levels: int) -> Any:
    """Lists in objects in lists."""
    value: Any = 7
    for level in range(levels):
        value = {"in": value} if level % 2 else [value]
    return value


@pytest.mark.parametrize("value", [None, 7, "text", [], {}, [[], {}], {"a": [1], "b": {"c": []}}, nested(MAX_DEPTH)])
def test_what_is_flat_enough_is_taken(value: Any) -> None:
    assert not too_deep(value)
    check_nesting(value, "the whole")


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 254, 255, 1_000, 100_000])
def test_what_is_too_deep_is_refused_by_its_field(levels: int) -> None:
    with pytest.raises(BadInput) as refused:
        check_nesting({"a": nested(MAX_DEPTH - 1), "b": nested(levels - 1)}, "the whole")
    assert refused.value.field == "b"
    with pytest.raises(BadInput) as refused:
        check_nesting([nested(levels)], "the whole")
    assert refused.value.field == "the whole"


def test_an_empty_list_is_a_level_too() -> None:
    value: list[Any] = []
    for _ in range(MAX_DEPTH - 1):
        value = [value]
    assert not too_deep(value)
    assert too_deep([value])
