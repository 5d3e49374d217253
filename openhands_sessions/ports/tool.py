"""A tool the agent may call. Tools think: the sandbox acts, by `Task`."""

from collections.abc import Mapping
from typing import Protocol

from openhands_sessions.core.events.event import Action, Json, Observation
from openhands_sessions.core.view import ConversationView
from openhands_sessions.ports.mcp import CallMcp
from openhands_sessions.ports.runtime import Outcome, Task


class Tool(Protocol):
    """One tool; stateless, shared by all sessions."""

    name: str
    schema: Mapping[str, Json]
    """As the model is told: `{"type": "function", "function": {name, description, parameters}}`."""
    kinds: tuple[type[Action], ...]
    """The actions that its calls become."""
    independent: tuple[type[Action], ...]
    """Those of them that change nothing, so that they may be carried out beside each other."""

    def read(self, arguments: Mapping[str, Json]) -> Action:
        """The action of a call. Raises BadInput, naming the argument and what it must be."""

    def arguments(self, action: Action) -> Mapping[str, Json]:
        """The arguments of a call that becomes this action: `read` the other way round, for actions that were recorded
        elsewhere."""

    def task(self, action: Action) -> Task | CallMcp | None:
        """What the sandbox, or an MCP server, is to do for it; None where nothing is."""

    def observe(self, action: Action, outcome: Outcome | None, view: ConversationView) -> Observation | None:
        """What came of it; `outcome` is None where `task` is. None for an action that ends the turn."""
