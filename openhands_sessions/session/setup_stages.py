"""The set-up states: how long each may take, and what clients are told."""

from collections.abc import Mapping
from dataclasses import dataclass

from openhands_sessions.core.lifecycle import SessionState


@dataclass(frozen=True, slots=True)
class SetupStage:
    """One set-up state: `limit` in seconds without progress, `status` as clients see it."""

    limit: float
    status: str


STAGES: Mapping[SessionState, SetupStage] = {
    SessionState.INITIALIZING: SetupStage(20.0, "STATUS$INITIALIZING"),
    SessionState.RUNTIME_SETUP: SetupStage(120.0, "STATUS$STARTING_RUNTIME"),
    SessionState.AGENT_SETUP: SetupStage(60.0, "STATUS$SETTING_UP_AGENT"),
    SessionState.MEMORY_SETUP: SetupStage(300.0, "STATUS$SETTING_UP_WORKSPACE"),
    SessionState.CONTROLLER_SETUP: SetupStage(15.0, "STATUS$SETTING_UP_CONTROLLER"),
}
