"""Every error the package raises, and whose fault it is.

A message never holds a traceback, a host path or a secret: it is shown to users.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Self


class SessionsError(Exception):
    """Root of the tree: an error without a more exact class."""

    code = "internal_error"

    def __init_subclass__(cls, code: str = "") -> None:
        cls.code = code or cls.code

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class CallerError(SessionsError, code="bad_request"):
    """Root of the errors that the caller can correct."""


class BadInput(CallerError, code="bad_input"):
    """A value is wrong: `field` names it, the message says what it must be."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field


class UnknownArgument(BadInput, TypeError, code="unknown_argument"):
    """A class of the library was given a keyword that it does not have; `instead` says what to do."""

    def __init__(self, name: str, owner: str, instead: str) -> None:
        super().__init__(f"unknown argument {name!r}", f"of {owner}{instead}")
        self.field = name


class UnknownAgent(BadInput, KeyError, code="unknown_agent"):
    """A message is for an agent that the conversation has not; `known` are the names of those that it has."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        names = ", ".join(known)
        there = f"there are: {names}" if names else "there is one agent, which needs no name"
        super().__init__("agent", f"{name!r} is not known here; {there}")

    def __str__(self) -> str:
        return self.message  # KeyError shows it as a quoted key


class UnstorableValue(BadInput, TypeError, code="unstorable_value"):
    """Part of a value for a state is nothing that JSON has: `field` is the way to it."""


class NotFound(CallerError, code="not_found"):
    """It is unknown, deleted, or belongs to another owner; the answer is the same in all three cases."""

    def __init__(self, what: str, name: str = "") -> None:
        super().__init__(f"{what} {name!r} not found" if name else f"{what} not found")
        self.name = name


class AlreadyExists(CallerError, code="already_exists"):
    """The id is used already."""


class Unauthorized(CallerError, code="unauthorized"):
    """The key or login is missing or wrong."""


class Forbidden(CallerError, code="forbidden"):
    """The caller may see the conversation, or has a link to one, and may not do this; the message says who may."""


class NotAccepting(CallerError, code="not_accepting"):
    """The session does not accept this command in its present state."""


class NothingToMerge(NotAccepting, code="nothing_to_merge"):
    """Every turn of the other dialogue is in this one already. Nothing was changed."""


class SessionBusy(NotAccepting, code="session_busy"):
    """A turn runs in the session, or another process has it open, and the call is not to wait for its end."""


class BlockingCall(CallerError, code="blocking_call"):
    """A call of the library that waits, made where it would stop an event loop: the message names the one to await."""


class StaleDecision(NotAccepting, code="stale_decision"):
    """What was decided does not await this decision: it is decided, withdrawn or too late, or shown in a newer version.
    Nothing was changed."""


class RevisionConflict(CallerError, code="revision_conflict"):
    """A key of a state was changed since it was read; nothing was written. `base` is its value as it was read,
    `ours` what was to be written, `theirs` its value as it is; each None where it is not known."""

    def __init__(self, key: str, *, base: object = None, ours: object = None, theirs: object = None) -> None:
        super().__init__(f"{key!r} was changed since it was read: read it again, and decide")
        self.key = key
        self.base = base
        self.ours = ours
        self.theirs = theirs


class TooLarge(CallerError, code="too_large"):
    """It exceeds a size limit: `limit` is the number, the message has the unit."""

    def __init__(self, message: str, limit: int | None = None) -> None:
        super().__init__(message)
        self.limit = limit


class CorruptSession(CallerError, code="corrupt_session"):
    """A session file is cut off or was changed. What it holds up to event `last_good` is as it was written; -1 where
    nothing is."""

    def __init__(self, problem: str, last_good: int) -> None:
        super().__init__(f"the session file {problem}; it is sound up to event {last_good}, which recover=True takes")
        self.last_good = last_good


class UnsafeFormat(CallerError, code="unsafe_format"):
    """A file is no session file of a version that is known here; it was not read any further."""


class Gone(CallerError, code="gone"):
    """The route was removed; the message says what to use instead."""


class MethodNotAllowed(CallerError, code="method_not_allowed"):
    """The route has other methods; the message names them."""


class ForeignHost(CallerError, code="foreign_host"):
    """The request's host name is not one of `server.allowed_hosts`."""


class ForeignOrigin(CallerError, code="foreign_origin"):
    """The request comes from a page whose origin is neither the server's own nor one of `server.allowed_origins`."""


class NoProviderToken(CallerError, code="no_provider_token"):
    """No token of a git provider is stored."""


class NoRepository(CallerError, code="no_repository"):
    """Neither the workspace nor a folder in it is a git repository."""

    def __init__(self, message: str = "Not a git repository") -> None:
        super().__init__(message)


class NotText(CallerError, code="not_text"):
    """A file that was requested as text does not hold text."""


class RateLimited(CallerError, code="rate_limited"):
    """Too many requests; `retry_after` is the wait in seconds."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class LimitReached(CallerError, code="limit_reached"):
    """The caller has as many of something as it may: `count` of `limit`. With `retry_after`, a wait in seconds may
    help."""

    def __init__(self, message: str, *, limit: int, count: int, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.limit = limit
        self.count = count
        self.retry_after = retry_after


class AtCapacity(CallerError, code="at_capacity"):
    """The server has no room now for another session, or for more unfinished messages; `retry_after` is the wait in
    seconds."""

    def __init__(self, message: str, *, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unreachable(SessionsError, code="unreachable"):
    """The server that holds the conversation does not answer. The request may have taken effect."""


class IllegalTransition(SessionsError):
    """A bug of the server: the lifecycle does not allow this transition."""

    def __init__(self, old: str, new: str) -> None:
        super().__init__(f"no way from {old!r} to {new!r}")
        self.old = old
        self.new = new


class StageFailed(SessionsError, code="stage_failed"):
    """A set-up stage failed: `stage` is its name, `cause_name` the class of error."""

    def __init__(self, stage: str, cause_name: str, problem: str) -> None:
        super().__init__(f"the session could not be set up: {problem}")
        self.stage = stage
        self.cause_name = cause_name


class TurnFailed(SessionsError, code="turn_failed"):
    """A turn ended without an answer; `reason` is that of its `turn_ended`, `turn` its id."""

    def __init__(self, message: str, *, reason: str, turn: int) -> None:
        super().__init__(message)
        self.reason = reason
        self.turn = turn


class TurnTimeout(TurnFailed, code="turn_timeout"):
    """A turn took longer than the caller waits, and was stopped."""


class StorageError(SessionsError, code="storage_error"):
    """Root of the errors of the store."""


class Conflict(StorageError, code="conflict"):
    """Another writer was faster: the head of a log, or the version of a row, is not the expected one."""

    def __init__(self, expected: int, found: int, what: str = "the log's newest event") -> None:
        super().__init__(f"expected {what} to be {expected}, it is {found}")
        self.expected = expected
        self.found = found


class Fenced(StorageError, code="fenced"):
    """Another process has claimed the conversation; this one must stop writing."""

    def __init__(self, term: int, newest: int) -> None:
        super().__init__(f"term {term} is older than the owner's term {newest}")
        self.term = term
        self.newest = newest


class OwnedElsewhere(StorageError, code="owned_elsewhere"):
    """Another running server works on the conversation; try again later."""

    def __init__(self, node: str) -> None:
        super().__init__(f"another server works on this conversation now ({node}); try again in a moment")
        self.node = node


class StorageUnavailable(StorageError, code="storage_unavailable"):
    """The disk is full, read-only, locked or missing. What was not acknowledged is not stored."""


class DamagedRecord(StorageError, code="damaged_record"):
    """What is stored of one conversation is not what was written: of its events `first` to `last`, or where they are
    None, of something else. The rest of it can be read, and no other conversation is concerned."""

    def __init__(
        self, message: str, *, conversation: str | None = None, first: int | None = None, last: int | None = None
    ) -> None:
        super().__init__(message)
        self.conversation = conversation
        self.first = first
        self.last = last

    @classmethod
    def of(cls, what: str, conversation: str) -> Self:
        """`what` is the record, as a subject in the singular."""
        return cls(f"{what} is damaged on the disk: {_WAYS_OUT}", conversation=conversation)

    @classmethod
    def of_events(cls, conversation: str, first: int, last: int) -> Self:
        which = f"event {first} of this conversation is" if first == last else f"events {first} to {last} are"
        text = f"{which} damaged on the disk: {_WAYS_OUT}"
        return cls(text, conversation=conversation, first=first, last=last)


_WAYS_OUT = "ask the operator to restore a backup; or export what can be read, and begin a new conversation"


class RuntimeFailure(SessionsError, code="runtime_failure"):
    """Root of the errors of the sandbox."""


class RuntimeUnavailable(RuntimeFailure, code="runtime_unavailable"):
    """The sandbox cannot be opened or reached."""


class NotAsked(RuntimeUnavailable):
    """The sandbox could not be reached; the request was not sent."""


class PathRefused(RuntimeFailure, code="path_refused"):
    """The path leads out of the workspace, or is not a path."""


class FileProblem(RuntimeFailure, code="file_problem"):
    """The file does not exist, is not a file or text, or is too large; the message says which."""


class Refusal(StrEnum):
    """What in a conversation's history makes a provider refuse each request with it."""

    TOO_LONG = "too_long"
    """More tokens than the model reads."""
    TOO_LARGE = "too_large"
    """More bytes than the provider takes."""
    IMAGE = "image"
    FORM = "form"
    """Ids, roles, order or fields of messages."""
    UNKNOWN = "unknown"
    """The request was refused in words that say none of these."""


class ModelFailure(SessionsError, code="model_failure"):
    """The model did not answer. `status` is a status id, e.g. `STATUS$ERROR_LLM_AUTHENTICATION`; `refusal` names the
    cause if it is the history."""

    def __init__(self, status: str, message: str, refusal: Refusal | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.refusal = refusal
