"""Which actions an observation must follow."""

from openhands_sessions.core.events.actions import (
    BrowseAction,
    BrowseInteractiveAction,
    DelegateAction,
    EditAction,
    McpAction,
    ReadAction,
    RunAction,
    RunIpythonAction,
    TaskTrackingAction,
    ThinkAction,
    WriteAction,
)
from openhands_sessions.core.events.own import InvalidCallAction

ANSWERED = (
    RunAction,
    RunIpythonAction,
    ReadAction,
    WriteAction,
    EditAction,
    BrowseAction,
    BrowseInteractiveAction,
    McpAction,
    DelegateAction,
    ThinkAction,
    TaskTrackingAction,
    InvalidCallAction,
)
