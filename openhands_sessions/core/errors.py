"""Every error the package raises, and whose fault it is.

SessionsError
├── CallerError                the caller's: say what to do
│   ├── BadInput               a value is wrong (carries the field)
│   ├── NotFound               no such conversation, or not the caller's
│   ├── AlreadyExists          the id is taken
│   ├── Unauthorized           no credentials, or wrong ones
│   ├── NotAccepting           the session takes no such command now
│   ├── TooLarge               over a size limit
│   ├── NotText                a file is not text
│   ├── RateLimited            over a rate limit (carries seconds to wait)
│   └── AtCapacity             the server holds as many sessions as it may
├── Unreachable                the world's: the server that holds the conversation does not answer
├── IllegalTransition          ours: the lifecycle table has no such row
├── StageFailed                a set-up stage failed (carries stage and class of error)
├── StorageError
│   ├── Conflict               another writer was faster: a head or a version is not the expected one
│   ├── Fenced                 a newer owner has written
│   ├── OwnedElsewhere         another server works on the conversation (carries its node)
│   └── StorageUnavailable     the world's: disk full, locked, gone
├── RuntimeFailure             the sandbox's
│   ├── RuntimeUnavailable     it cannot be opened or reached
│   │   └── NotAsked           no request was sent to it
│   ├── PathRefused            a path leaves the workspace
│   └── FileProblem            no such file, not text, too large
└── ModelFailure               the model's (carries the wire's status id)

A message never holds a traceback, a host path or a secret: it is shown to users.
"""


class SessionsError(Exception):
    """Root of the tree. `code` is the machine-readable name on every edge."""

    code = "internal_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class CallerError(SessionsError):
    """The caller can correct it."""

    code = "bad_request"


class BadInput(CallerError):
    """A value is wrong: `field` says which, the message what it must be."""

    code = "bad_input"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field} {problem}")
        self.field = field


class NotFound(CallerError):
    """Unknown, deleted, or someone else's: callers cannot tell the three apart."""

    code = "not_found"

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"{what} {name!r} not found")
        self.name = name


class AlreadyExists(CallerError):
    """The id is taken."""

    code = "already_exists"


class Unauthorized(CallerError):
    """No credentials, or wrong ones."""

    code = "unauthorized"


class NotAccepting(CallerError):
    """The session takes no such command in its present state."""

    code = "not_accepting"


class TooLarge(CallerError):
    """Over a size limit, which the message names."""

    code = "too_large"


class NotText(CallerError):
    """A file that was requested as text is not text."""

    code = "not_text"


class RateLimited(CallerError):
    """Over a rate limit; `retry_after` is in seconds."""

    code = "rate_limited"

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class AtCapacity(CallerError):
    """No room for one more session now."""

    code = "at_capacity"


class Unreachable(SessionsError):
    """The server that holds the conversation does not answer; what was asked may or may not have taken effect."""

    code = "unreachable"


class IllegalTransition(SessionsError):
    """A bug of ours: the lifecycle table has no such transition."""

    def __init__(self, old: str, new: str) -> None:
        super().__init__(f"no way from {old!r} to {new!r}")
        self.old = old
        self.new = new


class StageFailed(SessionsError):
    """A set-up stage failed: `stage` is its name, `cause_name` the class of error."""

    code = "stage_failed"

    def __init__(self, stage: str, cause_name: str, problem: str) -> None:
        super().__init__(f"{stage} failed: {problem} ({cause_name})")
        self.stage = stage
        self.cause_name = cause_name


class StorageError(SessionsError):
    """Root of the store's errors."""

    code = "storage_error"


class Conflict(StorageError):
    """Another writer was faster: a log's head or a row's version is not the expected one."""

    code = "conflict"

    def __init__(self, expected: int, found: int, what: str = "the log's newest event") -> None:
        super().__init__(f"expected {what} to be {expected}, it is {found}")
        self.expected = expected
        self.found = found


class Fenced(StorageError):
    """A newer owner has written: this one must stop."""

    code = "fenced"

    def __init__(self, term: int, newest: int) -> None:
        super().__init__(f"term {term} is older than the owner's term {newest}")
        self.term = term
        self.newest = newest


class OwnedElsewhere(StorageError):
    """Another live server holds the conversation's lease; try again later."""

    code = "owned_elsewhere"

    def __init__(self, node: str) -> None:
        super().__init__(f"another server works on this conversation now ({node}); try again in a moment")
        self.node = node


class StorageUnavailable(StorageError):
    """The disk is full, read-only, locked or gone; what was not acknowledged is not stored."""

    code = "storage_unavailable"


class RuntimeFailure(SessionsError):
    """Root of the sandbox's errors."""

    code = "runtime_failure"


class RuntimeUnavailable(RuntimeFailure):
    """The sandbox cannot be opened or reached."""

    code = "runtime_unavailable"


class NotAsked(RuntimeUnavailable):
    """The sandbox could not be reached; no request was sent to it."""


class PathRefused(RuntimeFailure):
    """The path leaves the workspace, or cannot be a path."""

    code = "path_refused"


class FileProblem(RuntimeFailure):
    """No such file, not a file, not text, too large; the message says which."""

    code = "file_problem"


class ModelFailure(SessionsError):
    """The model did not answer; `status` is the wire's status id, e.g. `STATUS$ERROR_LLM_AUTHENTICATION`."""

    code = "model_failure"

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status = status
