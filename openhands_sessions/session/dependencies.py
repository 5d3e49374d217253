"""What every session of a server is built from."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from openhands_sessions.core.ids import ConversationId, EventId, OwnerId
from openhands_sessions.core.masking import SecretMasker
from openhands_sessions.core.measurements import Measurements
from openhands_sessions.core.quotas import Quota
from openhands_sessions.core.settings import SessionSettings
from openhands_sessions.ports.agent import Agents
from openhands_sessions.ports.condenser import Condenser
from openhands_sessions.ports.mcp import McpFunction, McpServers, McpTools
from openhands_sessions.ports.memory import Memory
from openhands_sessions.ports.policy import Policy
from openhands_sessions.ports.runtime import Runtimes
from openhands_sessions.ports.state import AgentStates
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.ports.tool import Tool
from openhands_sessions.ports.tracing import Tracer
from openhands_sessions.session.call_admission import CallAdmission
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.feed import Feed
from openhands_sessions.session.log_folding import fold_turns
from openhands_sessions.session.progress_notice import Timers
from openhands_sessions.session.session_spans import SessionSpans
from openhands_sessions.session.usage_ledger import UsageLedger

SettingsOf = Callable[[str | None], SessionSettings]
"""The settings with this model; None: with their own. Raises BadInput."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Participant:
    """One of the agents of a conversation. `name` is None where it is the only one. `prompt` is in place of the agent's
    usual one, `instructions` come behind it. `functions` are the program's. With `sandbox` it has the tools for one.
    `handoffs` are the agents to which it may give its turn. `app` is whose state it sees as that of the app."""

    settings_of: SettingsOf
    name: str | None = None
    prompt: str | None = None
    instructions: str = ""
    functions: McpTools | None = None
    sandbox: bool = True
    handoffs: Sequence[str] = ()
    app: str = "default"


@dataclass(frozen=True, kw_only=True, slots=True)
class Dependencies:
    """What every session of a server is built from."""

    store: SessionStore
    runtimes: Runtimes
    agents: Agents
    memory: Memory
    tools: Sequence[Tool]
    policy: Policy
    condenser: Condenser
    clock: Callable[[], datetime]
    version: str
    secrets: Sequence[str] = ()
    """The server's own, which are masked in everything that a conversation records."""
    quotas: Sequence[Quota] = ()
    """Of each user's model calls."""
    ipython: Tool | None = None
    """Offered where the sandbox has IPython."""
    mcp: McpServers | None = None
    participants: Sequence[Participant] = ()
    """The agents that the program has defined; without, the settings say which there are."""
    mcp_tool: Callable[[McpFunction], Tool] | None = None
    """Makes the tool of a function."""
    state_tool: Callable[[AgentStates], McpTools] | None = None
    """Makes the tool by which agents see states."""
    fold_turns: asyncio.Semaphore = field(default_factory=fold_turns)
    """Of all sessions' long logs."""
    measurements: Measurements = field(default_factory=Measurements)
    tracer: Tracer | None = None
    owe: Callable[[ConversationId, EventId], Awaitable[None]] | None = None
    """Told at the end of a session that its events up to this one are to be saved elsewhere."""
    timers: Callable[[], Timers] = asyncio.get_running_loop
    """Where the notices of turns without progress get their time from."""

    def event_stream(self, sid: ConversationId, feed: Feed, masker: SecretMasker) -> EventStream:
        """Of one conversation; it measures its appends."""
        return EventStream(self.store.log(sid), feed, self.clock, masker, self.measurements)

    def ledger(self, sid: ConversationId, user: OwnerId, stream: EventStream) -> UsageLedger:
        """Of the model calls of one conversation, which count for this user's quotas."""
        admission = CallAdmission(sid, user, self.store.accounts, self.quotas, self.clock)
        return UsageLedger(stream, admission, SessionSpans(self.tracer, sid, stream.masker.text))
