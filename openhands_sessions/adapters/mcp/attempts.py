"""How far one try of a call came. The transport knows it; the caller reports it."""

from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """What is certain about a call without a usable answer."""

    UNSENT = "unsent"
    """It was not carried out: the server never got it, or does not know the session. A new session may help."""
    REFUSED = "refused"
    """It was not carried out, and would not be in a new session either."""
    UNKNOWN = "unknown"
    """It may have been carried out."""


class CallFault(Exception):
    """A call that got no usable answer; `words` go on behind the name of the server."""

    def __init__(self, kind: FaultKind, words: str) -> None:
        super().__init__(words)
        self.kind = kind
        self.words = words


@dataclass(slots=True)
class CallAttempt:
    """One try. `sent`: the server may have got some of it. `fault`: why there is no answer, where its transport knows
    more than it can tell through the SDK."""

    sent: bool = False
    fault: CallFault | None = None


ATTEMPT: ContextVar[CallAttempt | None] = ContextVar("attempt", default=None)
"""The try that the running code works for."""


def note_sending() -> None:
    """From now on the server may get the call."""
    attempt = ATTEMPT.get()
    if attempt is not None:
        attempt.sent = True
