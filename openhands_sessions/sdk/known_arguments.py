"""Arguments that a class of the library does not know are refused in words that say what to do."""

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, TypeVar

from openhands_sessions.core.errors import UnknownArgument
from openhands_sessions.core.settings import nearest

T = TypeVar("T")

ELSEWHERE = {
    "agent_url": "sessions run in this program; a server is spoken to over its REST interface or its socket",
    "auth": "sessions run in this program; a server is spoken to over its REST interface or its socket",
    "checkpoint_interval": "call create_checkpoint() where one is wanted",
    "context_window": "the history that a model is shown is condensed as the configuration says",
    "memory": "what was said in the session itself is always remembered",
    "persist_memory": "what was said in the session itself is always remembered",
    "redis_host": "sessions are stored in SQLite: store='sqlite:///FILE'",
    "redis_port": "sessions are stored in SQLite: store='sqlite:///FILE'",
    "retention": "sessions are kept until they are deleted",
    "secret_key": "tokens for single sessions are not made",
    "ttl": "sessions are kept until they are deleted",
}
"""Arguments that programs written for other libraries give, which this version has not, and what holds instead."""


def known_arguments(made: type[T]) -> type[T]:
    """Have the class refuse unknown keywords with UnknownArgument, which names the nearest one."""
    init: Callable[..., None] = made.__init__
    parameters = inspect.signature(init).parameters
    known = [name for name in parameters if name != "self"]

    @wraps(init)
    def checked(self: T, *args: Any, **given: Any) -> None:
        for name in given:
            if name not in known:
                raise UnknownArgument(name, made.__name__, _instead(name, known))
        init(self, *args, **given)

    made.__init__ = checked  # type: ignore[method-assign, assignment]  # it takes what the class's own takes
    return made


def _instead(name: str, known: Iterable[str]) -> str:
    """What is said behind the refusal."""
    if name in ELSEWHERE:
        return f" in this version: {ELSEWHERE[name]}"
    return nearest(name, known)
