"""An agent as a program describes it, and the mark of its tools."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

from openhands_sessions.core.agents import MOST_AGENTS, NAME
from openhands_sessions.core.errors import BadInput
from openhands_sessions.sdk.known_arguments import known_arguments

F = TypeVar("F", bound=Callable[..., Any])

running_in: ContextVar[str | None] = ContextVar("running_in", default=None)
"""The conversation whose turn has called the function that runs here."""
TOOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
IDEMPOTENT = "__openhands_sessions_idempotent__"


@known_arguments
@dataclass(frozen=True, kw_only=True)
class Agent:
    """An agent: its name, what it is told about itself, and its model, a name of litellm; without one, that of the
    configuration (`OHS_LLM__MODEL`).

    `tools` are functions, sync or async, each parameter with a type; the model reads their docstrings. They run in this
    process. Other agents are among them by `as_tool()`; the `handoffs` are agents to which it may give its turn.
    `mcp_servers` are further tools, as the setting `mcp_config` has them: `shttp_servers` and `sse_servers`, each an
    address or a mapping of `url` and `api_key`, and `stdio_servers` (`name`, `command`, `args`, `env`), which run in
    the sandbox. `base_url` and `api_key` reach the model. Keys are stored nowhere. `max_iterations` are model calls of
    one turn. With a `sandbox`, the agent also has a shell, an editor and the other tools of the server's agent.
    """

    name: str = "assistant"
    instructions: str = ""
    llm: str | None = None
    tools: "Sequence[Callable[..., Any] | AgentTool]" = field(default=())
    mcp_servers: Mapping[str, Any] = field(default_factory=dict, repr=False)
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    max_iterations: int = 100
    sandbox: bool = False
    handoffs: "Sequence[Agent]" = field(default=(), repr=False)

    def as_tool(self, *, name: str | None = None, description: str | None = None) -> "AgentTool":
        """This agent as a tool of another one, which gives it a task and gets its answer: `Agent(tools=[...])`. It
        works in a session of its own, and knows nothing but the task. Raises BadInput."""
        named = name or f"ask_{agent_key(self)}".replace(".", "_").replace("-", "_")
        if not TOOL_NAME.fullmatch(named):
            raise BadInput("name", "must be letters, digits and '_', at most 64")
        about = description or f"Have the agent {self.name} carry out a task, and get its answer."
        return AgentTool(agent=self, name=named, description=about)


@dataclass(frozen=True, kw_only=True)
class AgentTool:
    """See `Agent.as_tool`."""

    agent: Agent
    name: str
    description: str


def agent_key(agent: Agent) -> str:
    """The name that an agent has in a session for which none is given: its own, as far as it may be one."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", agent.name).strip("_.-")[:50] or "agent"


def with_handoffs(agents: Mapping[str, Agent]) -> Mapping[str, Agent]:
    """The agents, and all those to which they may hand over. Raises BadInput where two have one name."""
    found = dict(agents)
    left = list(agents.values())
    while left:
        for other in left.pop().handoffs:
            if any(other is known for known in found.values()):
                continue
            if agent_key(other) in found:
                raise BadInput("handoffs", f"must have names of their own, and two agents are {agent_key(other)!r}")
            found[agent_key(other)] = other
            left.append(other)
    return found


def checked_agents(agent: Agent | None, agents: Mapping[str, Agent] | None) -> Mapping[str, Agent]:
    """The agents of a session by name; none where it has one without a name. Raises BadInput."""
    if agents is None:
        return with_handoffs({agent_key(agent): agent}) if agent is not None and agent.handoffs else {}
    if agent is not None:
        raise BadInput("agents", "are given beside agent: give one of both")
    if not 1 <= len(agents) <= MOST_AGENTS:
        raise BadInput("agents", f"must be 1 to {MOST_AGENTS}")
    for name, one in agents.items():
        if not isinstance(name, str) or not re.fullmatch(NAME, name):
            raise BadInput("agents", f"must have names of letters, digits, '_', '.' and '-', and {name!r} is none")
        if not isinstance(one, Agent):
            raise BadInput("agents", f"must be an Agent for each name, and {name!r} has {type(one).__name__}")
    return with_handoffs(agents)


@overload
def tool(function: F) -> F: ...


@overload
def tool(*, idempotent: bool = False) -> Callable[[F], F]: ...


def tool(function: F | None = None, *, idempotent: bool = False) -> F | Callable[[F], F]:
    """Mark a function as a tool. `idempotent`: calling it twice does the same as once; then a call that was cut off by
    the end of the process is made again, otherwise its outcome is unknown to the agent."""

    def mark(marked: F) -> F:
        setattr(marked, IDEMPOTENT, idempotent)
        return marked

    return mark if function is None else mark(function)


def is_idempotent(function: Callable[..., Any]) -> bool:
    return bool(getattr(function, IDEMPOTENT, False))
