"""The agents of one conversation, as they are opened: one, or several by name."""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from openhands_sessions.core.agents import HANDOFF
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.masking import SecretMasker
from openhands_sessions.core.mcp_servers import McpConfig
from openhands_sessions.core.settings import SessionSettings, secrets
from openhands_sessions.core.shared_dialogue import Viewer
from openhands_sessions.ports.mcp import CurrentConfig, McpFunction, McpTools, agent_function
from openhands_sessions.ports.runtime import Runtime
from openhands_sessions.ports.state import AgentStates
from openhands_sessions.ports.tool import Tool
from openhands_sessions.session.dependencies import Dependencies, Participant, SettingsOf
from openhands_sessions.session.mcp_opening import joined, open_mcp
from openhands_sessions.session.switchable_agent import AgentOpening, SwitchableAgent
from openhands_sessions.session.tool_registry import ToolRegistry
from openhands_sessions.session.usage_ledger import UsageLedger

SEVERAL = (
    "You are the agent {}. The user speaks to several agents here: {}. You see what is said to them and their answers."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedParticipant:
    """An agent that is open, with all that it may call. `viewer` is None where it is the only one."""

    agent: SwitchableAgent
    tools: ToolRegistry
    mcp: McpTools | None
    settings: SessionSettings
    prompt: str
    viewer: Viewer | None = None

    @property
    def name(self) -> str | None:
        return None if self.viewer is None else self.viewer.name


def participants_of(settings_of: SettingsOf, parts: Dependencies) -> Sequence[Participant]:
    """Those that the program or the settings name; one without a name where they name none. Raises BadInput."""
    if parts.participants:
        return parts.participants
    defined = settings_of(None).agents
    if not defined:
        return (Participant(settings_of=settings_of),)
    return tuple(
        Participant(
            name=name,
            settings_of=partial(_with_model, settings_of, one.llm_model),
            instructions=one.instructions,
            handoffs=one.handoffs,
        )
        for name, one in defined.items()
    )


def masker_of(participants: Sequence[Participant], others: Sequence[str]) -> SecretMasker:
    """Knows the values that must be masked in everything that the conversation records, and `others`."""
    known = [secret for each in participants for secret in secrets(each.settings_of(None))]
    return SecretMasker((*known, *others))


def _with_model(settings_of: SettingsOf, own: str | None, model: str | None) -> SessionSettings:
    return settings_of(model or own)


@dataclass(slots=True)
class ParticipantOpening:
    """Opens the agents of one conversation on `stack`. `model` is the one that the user has chosen, for the first.
    `current` as `McpServers.open` has it, of the first one's servers. `whose` are the conversation and its owner."""

    stack: AsyncExitStack
    parts: Dependencies
    ledger: UsageLedger
    runtime: Runtime
    tools: Sequence[Tool]
    current: CurrentConfig
    model: str | None
    whose: tuple[ConversationId, OwnerId]

    async def open(self, participants: Sequence[Participant]) -> Sequence[OpenedParticipant]:
        """In their order. Raises BadInput, ModelFailure."""
        opened: list[OpenedParticipant] = []
        servers: list[tuple[McpConfig | None, McpTools | None]] = []
        names = ", ".join(each.name for each in participants if each.name is not None)
        for number, each in enumerate(participants):
            opening = AgentOpening(self.parts.agents, each.settings_of, self.ledger)
            model = self.model if number == 0 else None
            agent = await self.stack.enter_async_context(SwitchableAgent.open(opening, model))
            config = each.settings_of(None).mcp_config
            mcp = joined(joined(each.functions, self._state(each)), await self._servers(servers, config))
            functions = (*(() if mcp is None else mcp.functions), *_handoffs(each))
            made = () if self.parts.mcp_tool is None else map(self.parts.mcp_tool, functions)
            tools = ToolRegistry((*(self.tools if each.sandbox else ()), *made))
            prompt = _prompt(each, agent.prompt, names)
            full = agent.settings.agent_visibility == "full"
            viewer = Viewer(name=each.name, prompt=prompt, first=number == 0, full=full) if each.name else None
            settings = agent.settings
            opened.append(
                OpenedParticipant(agent=agent, tools=tools, mcp=mcp, settings=settings, prompt=prompt, viewer=viewer)
            )
        return opened

    def _state(self, participant: Participant) -> McpTools | None:
        """The tool by which an agent sees states, where it may."""
        allowed = participant.settings_of(None).state_tool
        if self.parts.state_tool is None or allowed == "off":
            return None
        sid, owner = self.whose
        seen = AgentStates(conversation=sid, owner=owner, app=participant.app, writes=allowed == "write")
        return self.parts.state_tool(seen)

    async def _servers(
        self, known: list[tuple[McpConfig | None, McpTools | None]], config: McpConfig | None
    ) -> McpTools | None:
        """The MCP servers of a configuration: opened once, for all agents that have the same ones."""
        for other, tools in known:
            if other == config:
                return tools
        current = (lambda: config) if known else self.current
        tools = await open_mcp(self.stack, self.parts.mcp, config, self.runtime, current)
        known.append((config, tools))
        return tools


def _handoffs(participant: Participant) -> Sequence[McpFunction]:
    return [
        agent_function(HANDOFF.format(name), name, f"Have the agent {name} go on in your place.", handoff=True)
        for name in participant.handoffs
    ]


def _prompt(participant: Participant, usual: str, names: str) -> str:
    """The agent's prompt, with the instructions of the conversation."""
    parts = [usual if participant.prompt is None else participant.prompt]
    if participant.name is not None:
        parts.append(SEVERAL.format(participant.name, names))
    parts.append(participant.instructions)
    parts.append(participant.settings_of(None).conversation_instructions or "")
    return "\n\n".join(part for part in parts if part)
