"""Reads the accumulated usage that events carry in `llm_metrics`."""

from collections.abc import Mapping
from math import isfinite

from openhands_sessions.core.events.event import Json


def number(value: object) -> float:
    """0 for anything but a finite number: a log may be imported."""
    return value if isinstance(value, int | float) and isfinite(value) else 0


def tokens(metrics: Mapping[str, Json]) -> Mapping[str, Json]:
    """What is counted in tokens, and for which model."""
    found = metrics.get("accumulated_token_usage")
    return found if isinstance(found, Mapping) else {}


def token_counts(metrics: Mapping[str, Json], *names: str) -> dict[str, int]:
    """Some of the counts, by their names."""
    found = tokens(metrics)
    return {name: int(number(found.get(name))) for name in names}


def cost(metrics: Mapping[str, Json]) -> float:
    """In US dollars."""
    return number(metrics.get("accumulated_cost"))
