"""Errors on the wire, in both directions: bodies of REST, acknowledgements, connect errors, bare errors."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from openhands_sessions.core.errors import (
    AlreadyExists,
    AtCapacity,
    BadInput,
    CallerError,
    DamagedRecord,
    FileProblem,
    Forbidden,
    ForeignHost,
    ForeignOrigin,
    Gone,
    LimitReached,
    MethodNotAllowed,
    NoProviderToken,
    NoRepository,
    NotAccepting,
    NotFound,
    NothingToMerge,
    NotText,
    OwnedElsewhere,
    PathRefused,
    RateLimited,
    RevisionConflict,
    RuntimeUnavailable,
    SessionsError,
    StaleDecision,
    StorageUnavailable,
    TooLarge,
    Unauthorized,
    UnstorableValue,
)
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.masking import TextMasker
from openhands_sessions.core.permissions import Lapse
from openhands_sessions.ports.gateway import Accepted
from openhands_sessions.protocol.payloads import Message, Payload, Reply

HTTP_STATUS: tuple[tuple[type[SessionsError], int], ...] = (
    (NotFound, 404),
    (AlreadyExists, 409),
    (Gone, 410),
    (MethodNotAllowed, 405),
    (Unauthorized, 401),
    (NoProviderToken, 401),
    (Forbidden, 403),
    (ForeignHost, 403),
    (ForeignOrigin, 403),
    (NotAccepting, 409),
    (RevisionConflict, 409),
    (TooLarge, 413),
    (RateLimited, 429),
    (LimitReached, 429),
    (AtCapacity, 503),
    (OwnedElsewhere, 503),
    (StorageUnavailable, 503),
    (RuntimeUnavailable, 503),
    (FileProblem, 404),
    (NoRepository, 404),
    (PathRefused, 422),
    (NotText, 415),
    (BadInput, 422),
    (CallerError, 400),
    (DamagedRecord, 500),
    (SessionsError, 500),
)
"""The status of each class of error; the first row that fits counts."""
CODE_OF_STATUS = {401: Unauthorized.code, 404: NotFound.code, 413: TooLarge.code, 503: AtCapacity.code}
"""What a status means where the answer has no code."""
_BY_CODE: Mapping[str, Callable[[str], SessionsError]] = {
    kind.code: kind
    for kind in (
        *(AlreadyExists, AtCapacity, DamagedRecord, NoRepository, NotAccepting, StorageUnavailable, TooLarge),
        *(Forbidden, NothingToMerge, StaleDecision, Unauthorized),
    )
}


_KNOWN_FORMS = TextMasker()
LAPSES: Mapping[Lapse, str] = {"expired": "has expired", "revoked": "was revoked"}


class ErrorOut(Message):
    """What went wrong, and what to do. `field` names what was wrong in the request; `limit` is the number that it is
    over, and `count` what the caller has of that; `retry_after` is in seconds. `detail` and `error` repeat the message
    under the names that programs for OpenHands read; `msg_id` and `conversation_id` are for its web client."""

    status: Literal["error"]
    message: str
    code: str
    field: str | None = None
    limit: int | None = None
    count: int | None = None
    retry_after: float | None = None
    detail: str | None = None
    error: str | None = None
    msg_id: str | None = None
    conversation_id: str | None = None

    @classmethod
    def of(cls, error: SessionsError, /, **more: str) -> "ErrorOut":
        message = _message(error)
        told: dict[str, Any] = {"status": "error", "message": message, "code": error.code, "detail": message}
        return cls(**told, **_facts(error), **more)


class MessageOut(Reply):
    message: str


class BareError(Message):
    """What was wrong with a command, for a V0 client."""

    error: Literal[True]
    message: str
    code: str

    @classmethod
    def of(cls, error: SessionsError) -> "BareError":
        return cls(error=True, message=_message(error), code=error.code)


class Acknowledgement(Payload):
    """The answer to a command that asks for one: `id` of its first event and the `turn` that it belongs to, if it
    belongs to one, or the read mark `event_id`; or what was wrong."""

    ok: bool
    id: int | None = None
    turn: int | None = None
    event_id: int | None = None
    code: str | None = None
    message: str | None = None
    field: str | None = None
    limit: int | None = None
    count: int | None = None
    retry_after: float | None = None

    @staticmethod
    def accepting(accepted: Accepted) -> dict[str, Json]:
        """Built without validation: one goes out for each command."""
        told: dict[str, Json] = {"ok": True, "id": accepted.id}
        return told if accepted.turn is None else {**told, "turn": accepted.turn}

    @classmethod
    def refusing(cls, error: SessionsError) -> "Acknowledgement":
        return cls(ok=False, code=error.code, message=_message(error), **_facts(error))


class Reason(Message):
    """`data` of a refusal."""

    code: str


class Refusal(Message):
    """The connect error of a connection that is refused."""

    message: str
    data: Reason

    @classmethod
    def of(cls, error: SessionsError) -> "Refusal":
        return cls(message=_message(error), data=Reason(code=error.code))


def _message(error: SessionsError) -> str:
    """Without what callers may have put into it by mistake."""
    return _KNOWN_FORMS.text(error.message)


def _facts(error: SessionsError) -> dict[str, Any]:
    """What an error says besides its code and message, by the names of the wire."""
    match error:
        case BadInput(field=field) | RevisionConflict(key=field):
            return {"field": _KNOWN_FORMS.text(field)}
        case TooLarge(limit=int(limit)):
            return {"limit": limit}
        case LimitReached(limit=limit, count=count, retry_after=seconds):
            told = {"limit": limit, "count": count}
            return told if seconds is None else {**told, "retry_after": seconds}
        case RateLimited(retry_after=seconds) | AtCapacity(retry_after=seconds):
            return {"retry_after": round(seconds, 3)}
        case _:
            return {}


def lapsed(why: Lapse) -> Unauthorized:
    """A token that does not count any more."""
    return Unauthorized(f"the token {LAPSES[why]}: connect again with a new one")


def unshared(why: Lapse) -> Unauthorized:
    """What let the caller into somebody else's conversation does not count any more."""
    return Unauthorized(f"your access to this conversation {LAPSES[why]}: ask its owner")


def http_status(kind: type[SessionsError]) -> int:
    return next(status for base, status in HTTP_STATUS if issubclass(kind, base))


def error_of(answer: object) -> SessionsError:
    """The error that an answer of a server stands for: a body of REST, an acknowledgement or a connect error. What is
    missing in it is filled in."""
    told = answer if isinstance(answer, dict) else {}
    data = told.get("data")
    code = str(told.get("code") or (data.get("code") if isinstance(data, dict) else None) or "")
    message = str(told.get("message") or told.get("detail") or "the server refused")
    match code:
        case NotFound.code:
            error: SessionsError = NotFound("conversation", "")
            error.message, error.args = message, (message,)
            return error
        case BadInput.code:
            field = str(told.get("field") or "")
            return BadInput(field or "the request", message.removeprefix(field).strip())
        case UnstorableValue.code:
            field = str(told.get("field") or "")
            return UnstorableValue(field, message.removeprefix(field).strip())
        case RevisionConflict.code:
            return RevisionConflict(str(told.get("field") or ""))
        case LimitReached.code:
            limit, count = int(told.get("limit") or 0), int(told.get("count") or 0)
            return LimitReached(message, limit=limit, count=count, retry_after=told.get("retry_after"))
        case RateLimited.code:
            return RateLimited(message, retry_after=float(told.get("retry_after") or 1.0))
        case _:
            return _BY_CODE.get(code, SessionsError)(message)
