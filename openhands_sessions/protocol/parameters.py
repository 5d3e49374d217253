"""Parameters of queries, which several routes take."""

from openhands_sessions.ports.usage import MOST_DAYS
from openhands_sessions.protocol.conversations import TRIGGERS
from openhands_sessions.protocol.payloads import Schema
from openhands_sessions.protocol.route import TEXT, Parameter

LARGEST_ID = 2**53
ID: Schema = {"type": "string", "maxLength": 64}


def _number(name: str, least: int = 0, most: int = LARGEST_ID, **more: int) -> Parameter:
    return Parameter(name, {"type": "integer", "minimum": least, "maximum": most, **more})


LIMIT = _number("limit", least=1, most=100, default=20)
TURNS = _number("limit", most=100, default=20)
"""Of the history: with 0 it tells the branches and checkpoints alone."""
START_ID = _number("start_id", default=0)
END_ID = _number("end_id", least=-1, default=-1)
EVENT_ID = _number("event_id")
AFTER = _number("after", least=-1, default=-1)
BEFORE = _number("before", default=LARGEST_ID)
REVERSE = Parameter("reverse", {"type": "boolean", "default": False})
FILTER = Parameter("filter", {**TEXT, "description": "JSON, see FilterIn: `source`, `query`, `include_types`, …"})
PAGE = (LIMIT, Parameter("page_id"), Parameter("selected_repository"))
SEARCH = Parameter("search", {**TEXT, "description": "Stands in the title or in the first message."})
ID_PREFIX = Parameter("id_prefix", {**ID, "description": "The beginning of the id."})
COUNT = Parameter("count", {"type": "boolean", "default": False, "description": "Answer the `total` too."})
STREAM = Parameter("stream", {"type": "boolean", "default": False})
TRIGGER = Parameter("conversation_trigger", {"enum": list(TRIGGERS)})
DAYS = _number("days", least=1, most=MOST_DAYS, default=1)
FILE = Parameter("file", required=True)
PATH = Parameter("path")
USER = Parameter("user")
GUEST = Parameter("user", required=True)
RELATED = (
    Parameter("conversation", {**ID, "description": "Another conversation that began alike."}),
    Parameter("branch", {**TEXT, "description": "A branch, of the other conversation if that is given."}),
)
LINK = Parameter("link", required=True)
