"""What a turn is taken with, and what it knows besides the log."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from openhands_sessions.core.ids import EventId
from openhands_sessions.core.shared_dialogue import Viewer
from openhands_sessions.core.trajectory import TrajectoryStep
from openhands_sessions.ports.agent import Agent
from openhands_sessions.ports.condenser import Condenser
from openhands_sessions.ports.policy import Policy
from openhands_sessions.session.action_runner import ActionRunner
from openhands_sessions.session.progress_notice import Timers
from openhands_sessions.session.replay import Replay
from openhands_sessions.session.tool_registry import ToolRegistry
from openhands_sessions.session.usage_ledger import UsageLedger


@dataclass(frozen=True, slots=True)
class TurnContext:
    """Who takes part in a turn, and where its timers are."""

    agent: Agent
    runner: ActionRunner
    tools: ToolRegistry
    policy: Policy
    condenser: Condenser
    replay: Replay
    ledger: UsageLedger
    viewer: Viewer | None = None
    """Of several agents, which one it is; None for the only one."""
    timers: Callable[[], Timers] = asyncio.get_running_loop


@dataclass(slots=True)
class TurnProgress:
    """What a turn knows besides the log."""

    seen: int = -1
    step: TrajectoryStep | None = None
    """The recorded step that is being issued; None where the model was asked."""
    cause: EventId | None = None
    """Of the actions that it becomes."""
    finish: str | None = None
    """How the newest reply ended, see `FinishReason`."""
    nudged: bool = False
    """Whether the model answered with nothing just before."""
