"""What a program's agents are to the engine: settings, prompts and tools."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from openhands_sessions.bootstrap.library import program_agent
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.mcp_servers import McpConfig
from openhands_sessions.core.settings import bad_input
from openhands_sessions.ports.program import ProgramAgent
from openhands_sessions.ports.state import STATE_TOOL
from openhands_sessions.sdk.agent import Agent, AgentTool
from openhands_sessions.sdk.agent_tools import AgentTools, Ask
from openhands_sessions.sdk.functions import FunctionTools
from openhands_sessions.sdk.opening import Opening


def agent_of(opening: Opening, ask: Ask) -> ProgramAgent:
    """The session's agent, or the first of several with the others. Raises BadInput."""
    if not opening.agents:
        return _program_agent(opening, opening.agent, None, ask)
    first, *others = (_program_agent(opening, agent, name, ask) for name, agent in opening.agents.items())
    return replace(first, others=tuple(others))


def _program_agent(opening: Opening, agent: Agent, name: str | None, ask: Ask) -> ProgramAgent:
    settings: dict[str, Json] = {
        "agent": "default",
        "llm_model": agent.llm,
        "llm_base_url": agent.base_url,
        "llm_api_key": agent.api_key,
        "max_iterations": agent.max_iterations,
        "confirmation_mode": opening.confirm is True,
        "confirmation_rules": _rules(opening.confirm),
        "command_timeout": opening.timeout,
        "mcp_config": _mcp_config(agent),
        "agent_visibility": opening.visibility,
        "state_tool": opening.state_tool,
    }
    plain = FunctionTools([each for each in agent.tools if not isinstance(each, AgentTool)], opening.sid)
    functions = AgentTools(plain, [each for each in agent.tools if isinstance(each, AgentTool)], ask)
    if opening.state_tool != "off" and any(each.name == STATE_TOOL for each in functions.functions):
        raise BadInput("tools", f"must not have the name {STATE_TOOL!r}, which the tool for state has")
    made = program_agent(_prompt(agent), settings, functions, sandbox=agent.sandbox, name=name, app=opening.app)
    keys = [key for other in agent.handoffs for key, known in opening.agents.items() if known is other]
    return replace(made, handoffs=tuple(keys))


def _rules(confirm: bool | Sequence[str]) -> list[Json]:
    names = () if isinstance(confirm, bool) else confirm
    return [{"tool": name, "decision": "ask"} for name in names]


def _prompt(agent: Agent) -> str:
    return "\n\n".join(part for part in (f"You are {agent.name}.", agent.instructions.strip()) if part)


def _mcp_config(agent: Agent) -> dict[str, Any]:
    """The servers as the setting has them: also none, in place of those of the configuration."""
    given = dict(agent.mcp_servers)
    try:
        config = McpConfig.model_validate(given)
    except ValidationError as error:
        raise bad_input(error, "mcp_servers", known=McpConfig.model_fields) from None
    if config.stdio_servers and not agent.sandbox:
        raise BadInput("stdio_servers", "run in the sandbox, which this agent has not: set Agent(sandbox=True)")
    return given
