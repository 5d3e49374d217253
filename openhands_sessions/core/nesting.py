"""How deeply JSON from outside may be nested: no part of ours writes more than about 250 levels."""

from collections.abc import Mapping, Sequence

from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.event import Json

DEEPEST = 100
"""Levels of lists and objects."""
SHOWN = 64
"""Characters of a field's name that are told."""


def too_deep(value: Json, most: int = DEEPEST) -> bool:
    """Whether lists and objects lie in each other on more than `most` levels."""
    level: list[Json] = [value]
    for _ in range(most + 1):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def check_nesting(value: Json, whole: str) -> None:
    """Raises BadInput that names the field of an object, or `whole`."""
    if not too_deep(value):
        return
    fields = value.items() if isinstance(value, Mapping) else ()
    field = next((name for name, item in fields if too_deep(item, DEEPEST - 1)), whole)
    raise BadInput(field[:SHOWN], f"must not be nested more than {DEEPEST} levels deep")


def _inside(value: Json) -> Sequence[Json]:
    """What lies one level below; a level of its own counts also where it is empty."""
    match value:
        case Mapping():
            return [None, *value.values()]
        case list() | tuple():
            return [None, *value]
        case _:
            return ()
