"""The rows of the table of routes that are about states."""

from functools import partial

from openhands_sessions.core.permissions import Permission
from openhands_sessions.protocol.errors import ErrorOut
from openhands_sessions.protocol.route import TEXT, Parameter, Route
from openhands_sessions.protocol.states import StateChangedOut, StateChangeIn, StateChangesOut, StateOut

LARGEST_BODY = 1024 * 1024
"""Bytes of a change over REST, with all its values. In a program, a single value may be larger, see StateFiles."""
KEY = Parameter("key", {**TEXT, "description": "This key alone, with its value also where that is kept as a file."})
APP = Parameter("app", {**TEXT, "default": "default", "description": "The name of the app."})
REVISION = Parameter(
    "after_revision",
    {"type": "integer", "minimum": 0, "maximum": 2**53, "default": 0, "description": "Those after it."},
)
CHANGES = Parameter("limit", {"type": "integer", "minimum": 1, "maximum": 1_000, "default": 100})

_SESSION = "/api/conversations/{conversation_id}/state"
_USER, _APP = "/api/user/state", "/api/app/state"
_states = partial(Route, tag="state")
_reading = partial(_states, errors={404: ErrorOut})
_changing = partial(
    _states, reply=StateChangedOut, body=StateChangeIn, errors={404: ErrorOut, 409: ErrorOut, 413: ErrorOut}
)
READ_STATE = _reading(
    f"GET {_SESSION}",
    "The state of a conversation, as its visible history has left it.",
    StateOut,
    query=(KEY,),
    needs=Permission.VIEW,
)
CHANGE_STATE = _changing(f"PATCH {_SESSION}", "Change it, also while a turn runs.", needs=Permission.WRITE)
READ_STATE_CHANGES = _reading(
    f"GET {_SESSION}/changes",
    "The log of its changes, also of those that were taken back.",
    StateChangesOut,
    query=(REVISION, CHANGES),
    needs=Permission.VIEW,
)
READ_USER_STATE = _reading(
    f"GET {_USER}", "The caller's own state, which all its programs see.", StateOut, query=(KEY,)
)
CHANGE_USER_STATE = _changing(f"PATCH {_USER}", "Change it.")
READ_USER_CHANGES = _reading(
    f"GET {_USER}/changes", "The log of its changes.", StateChangesOut, query=(REVISION, CHANGES)
)
READ_APP_STATE = _reading(f"GET {_APP}", "The state of an app, the same for all users.", StateOut, query=(APP, KEY))
CHANGE_APP_STATE = _changing(
    f"PATCH {_APP}", "Change it; where users are told apart, only operators may.", query=(APP,)
)
READ_APP_CHANGES = _reading(
    f"GET {_APP}/changes", "The log of its changes.", StateChangesOut, query=(APP, REVISION, CHANGES)
)

STATE_ROUTES: tuple[Route, ...] = tuple(row for row in list(globals().values()) if isinstance(row, Route))
"""Every row above, in its order."""
