"""The state of a session as a tool of its agent: read, and changed where it may be."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from openhands_sessions.core.errors import BadInput, SessionsError
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.settings import bad_input
from openhands_sessions.core.state import StateChange, StateEntry, StateOp, StateOperation
from openhands_sessions.core.state_keys import named, place_of
from openhands_sessions.ports.mcp import CallMcp, McpDone, McpFunction
from openhands_sessions.ports.state import STATE_TOOL, AgentStates, ScopeKind, States, StateScope

LONGEST_SHOWN = 500
"""Characters of a value where it is shown beside others, or as what a change has led to."""
_STORED: tuple[ScopeKind, ...] = ("session", "user", "app")
_READS = (
    "The state of this session: JSON values by key, which other agents and programs see too. Keys with the prefix"
    " `user:` or `app:` are those of the user and of the application."
)
_WRITES = (
    " `set` sets a value, `incr` adds a number (1 without `value`), `append` adds an item at the end of a list,"
    " `delete` removes a key. Several may write at once: use `incr` and `append` to count and collect. Keys with a"
    " prefix can only be read."
)


class StateTool:
    """McpTools with one function. A change has the key of its action for an id: made again after a restart, it takes
    effect once."""

    problems: Sequence[str] = ()

    def __init__(self, states: States, seen: AgentStates) -> None:
        """`states` are those of the conversation's owner."""
        self._states = states
        self._seen = seen
        operations = ["get", *(each.value for each in _CHANGES)] if seen.writes else ["get"]
        properties: dict[str, Json] = {
            "operation": {"type": "string", "enum": [*operations]},
            "key": {"type": "string", "description": "Without one, `get` shows all keys."},
        }
        if seen.writes:
            properties["value"] = {"description": "Any JSON value, as it is: not as a text that holds JSON."}
        self.functions: Sequence[McpFunction] = (
            McpFunction(
                name=STATE_TOOL,
                description=_READS + (_WRITES if seen.writes else ""),
                parameters={"type": "object", "properties": properties, "required": ["operation"]},
                read_only=not seen.writes,
                idempotent=True,
            ),
        )

    async def call(self, call: CallMcp) -> McpDone:
        try:
            asked = _read(call.arguments)
            if asked.operation == "get":
                return McpDone(text=await (self._all() if asked.key is None else self._value(asked.key)))
            return McpDone(text=await self._change(asked, call.key))
        except SessionsError as error:
            return McpDone(text=f"Not done: {error.message}.", failed=True)

    async def _all(self) -> str:
        lines: list[str] = []
        for kind in _STORED:
            entries = (await self._states.read(self._scope(kind))).entries
            lines += [_line(named(kind, key), entry) for key, entry in sorted(entries.items())]
        return "\n".join(lines) or "Nothing is set."

    async def _value(self, key: str) -> str:
        scope, name = self._place(key)
        entry = (await self._states.read(scope)).entries.get(name)
        if entry is None:
            return f"{key!r} is not set."
        value = entry.value if entry.file is None else await self._states.file(scope, name)
        return orjson.dumps(value).decode()

    async def _change(self, asked: "_Arguments", id: str) -> str:
        scope, key = self._place(asked.key)
        if not self._seen.writes:
            raise BadInput("operation", "must be get: the state can only be read here")
        if scope.kind != "session":
            raise BadInput("key", "must have no prefix: the states of users and applications can only be read")
        change = StateChange(
            id=id, operations=(_operation(asked, key),), actor=self._seen.owner, timestamp=datetime.now(UTC)
        )
        done = await self._states.change(scope, change)
        return "\n".join(_line(key, entry) for key, entry in done.entries.items())

    def _place(self, key: str | None) -> tuple[StateScope, str]:
        """The state that a key is in, and its name there. Raises BadInput."""
        kind, name = place_of(key)
        if kind == "temp":
            raise BadInput("key", "must not begin with temp: such values stay in the memory of a program")
        return self._scope(kind), name

    def _scope(self, kind: ScopeKind) -> StateScope:
        match kind:
            case "session":
                return StateScope.session(self._seen.conversation)
            case "user":
                return StateScope.user(self._seen.owner)
            case "app":
                return StateScope("app", self._seen.app)


_CHANGES = (StateOp.SET, StateOp.INCR, StateOp.APPEND, StateOp.DELETE)


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")

    operation: Literal["get", "set", "incr", "append", "delete"]
    key: str | None = None
    value: Json = None


def _read(given: Mapping[str, Json]) -> _Arguments:
    """Raises BadInput that names the argument."""
    try:
        return _Arguments.model_validate(dict(given))
    except ValidationError as error:
        raise bad_input(error, "arguments", known=_Arguments.model_fields) from None


def _operation(asked: _Arguments, key: str) -> StateOperation:
    """Raises BadInput."""
    op, value = StateOp(asked.operation), asked.value
    if "value" not in asked.model_fields_set:
        if op in (StateOp.SET, StateOp.APPEND):
            raise BadInput("value", f"is required: it is what {op.value} is to take")
        value = 1 if op is StateOp.INCR else None
    return StateOperation(op, key, None if op is StateOp.DELETE else value)


def _line(key: str, entry: StateEntry | None) -> str:
    """What is shown of a key."""
    if entry is None:
        return f"{key!r} is not set."
    if entry.file is not None:
        return f"{key}: [a large value; get it by its key]"
    text = orjson.dumps(entry.value).decode()
    if len(text) > LONGEST_SHOWN:
        text = f"{text[:LONGEST_SHOWN]} [… of {len(text):,} characters; get it by its key]"
    return f"{key}: {text}"
