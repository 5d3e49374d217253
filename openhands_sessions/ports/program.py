"""What a program gives to the sessions that it runs in its own process."""

from collections.abc import Mapping
from dataclasses import dataclass

from openhands_sessions.core.events.event import Json
from openhands_sessions.ports.mcp import McpTools
from openhands_sessions.ports.runtime import Runtimes

PROGRAM = "program"
"""The trigger of a conversation that a program runs: it is run by programs alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgramAgent:
    """One conversation's agent as the program has written it. Nothing of it is stored but what the log records."""

    settings: Mapping[str, Json]
    """A layer of the conversation's settings, above all others but those of `others`."""
    prompt: str
    """The system prompt, recorded when the conversation begins."""
    functions: McpTools
    """Those of the program, which run in its process."""
    runtimes: Runtimes | None = None
    """In place of sandboxes, for an agent without their tools; None: it has a sandbox and the tools for it."""
    name: str | None = None
    """Of several agents; None for the only one."""
    handoffs: tuple[str, ...] = ()
    """Of several agents, those to which it may give its turn."""
    app: str = "default"
    """The name of the program, whose state its agents may see."""
    others: tuple["ProgramAgent", ...] = ()
    """The further ones of several, each with a name."""
