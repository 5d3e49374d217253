"""Every action of the wire, and our own ones (`tool_calls`, `invalid_call`). Fields are the keys of `args`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from openhands_sessions.core.events.event import Action, AgentState, ConfirmationState, Json, kinds_of
from openhands_sessions.core.events.own import OWN_ACTIONS

_CONFIRMED = ConfirmationState.CONFIRMED
UNKNOWN_RISK = -1


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageAction(Action, kind="message", says="{0.content}"):
    """Something said by the user or by the agent."""

    content: str
    file_urls: tuple[str, ...] | None = None
    image_urls: tuple[str, ...] | None = None
    wait_for_response: bool = False
    security_risk: int = UNKNOWN_RISK
    key: str | None = None
    """The idempotency key that its sender gave it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemAction(Action, kind="system", says="{0.content}"):
    """The system prompt and the tools that the agent begins with."""

    content: str
    tools: tuple[Mapping[str, Json], ...] | None = None
    openhands_version: str | None = None
    agent_class: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RunAction(Action, kind="run", says="Running command: {0.command}"):
    """Run a command in the session's shell, or give text to the one that runs (`is_input`)."""

    command: str
    is_input: bool = False
    thought: str = ""
    blocking: bool = False
    is_static: bool = False
    cwd: str | None = None
    hidden: bool = False
    confirmation_state: ConfirmationState = _CONFIRMED
    security_risk: int = UNKNOWN_RISK


@dataclass(frozen=True, kw_only=True, slots=True)
class RunIpythonAction(Action, kind="run_ipython", says="Running Python code: {0.code}"):
    """Run a cell of Python."""

    code: str
    thought: str = ""
    include_extra: bool = True
    confirmation_state: ConfirmationState = _CONFIRMED
    security_risk: int = UNKNOWN_RISK
    kernel_init_code: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadAction(Action, kind="read", says="Reading file: {0.path}"):
    """Read a file of the workspace."""

    path: str
    start: int = 0
    end: int = -1
    thought: str = ""
    security_risk: int = UNKNOWN_RISK
    impl_source: str = "default"
    view_range: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class WriteAction(Action, kind="write", says="Writing file: {0.path}"):
    """Write a whole file of the workspace."""

    path: str
    content: str
    start: int = 0
    end: int = -1
    thought: str = ""
    confirmation_state: ConfirmationState = _CONFIRMED
    security_risk: int = UNKNOWN_RISK


@dataclass(frozen=True, kw_only=True, slots=True)
class EditAction(Action, kind="edit", says="Editing file: {0.path}"):
    """Change a file: `create`, `str_replace`, `insert` or `undo_edit`."""

    path: str
    command: str = ""
    file_text: str | None = None
    old_str: str | None = None
    new_str: str | None = None
    insert_line: int | None = None
    content: str = ""
    start: int = 1
    end: int = -1
    thought: str = ""
    confirmation_state: ConfirmationState = _CONFIRMED
    security_risk: int = UNKNOWN_RISK
    impl_source: str = "oh_aci"


@dataclass(frozen=True, kw_only=True, slots=True)
class BrowseAction(Action, kind="browse", says="Opening the page {0.url}"):
    """Open a web page."""

    url: str
    thought: str = ""
    security_risk: int = UNKNOWN_RISK
    return_axtree: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class BrowseInteractiveAction(Action, kind="browse_interactive", says="Acting on the open page"):
    """Do something on the open web page."""

    browser_actions: str
    thought: str = ""
    browsergym_send_msg_to_user: str = ""
    security_risk: int = UNKNOWN_RISK
    return_axtree: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class McpAction(Action, kind="call_tool_mcp", says="Calling the MCP tool {0.name}"):
    """Call a tool of an MCP server."""

    name: str
    arguments: Mapping[str, Json] = field(default_factory=dict)
    thought: str = ""
    confirmation_state: ConfirmationState = _CONFIRMED
    security_risk: int = UNKNOWN_RISK


@dataclass(frozen=True, kw_only=True, slots=True)
class ThinkAction(Action, kind="think", says="Thinking: {0.thought}"):
    """The agent writes down a thought."""

    thought: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class FinishAction(Action, kind="finish"):
    """The agent says that the task is done. Old files have `task_completed`."""

    final_thought: str = ""
    outputs: Mapping[str, Json] = field(default_factory=dict)
    thought: str = ""

    def describe(self) -> str:
        return self.final_thought or "The task is done."


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectAction(Action, kind="reject"):
    """The agent says that it will not do the task."""

    outputs: Mapping[str, Json] = field(default_factory=dict)
    thought: str = ""

    def describe(self) -> str:
        reason = self.outputs.get("reason")
        return f"The agent declined the task: {reason}" if reason else "The agent declined the task."


@dataclass(frozen=True, kw_only=True, slots=True)
class DelegateAction(Action, kind="delegate", says="Asking {0.agent} for help"):
    """The agent gives a part of the task to another agent."""

    agent: str
    inputs: Mapping[str, Json] = field(default_factory=dict)
    thought: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecallAction(Action, kind="recall", says="Looking up what is known for: {0.query}"):
    """Look for knowledge that may help: `workspace_context` or `knowledge`."""

    recall_type: str
    query: str = ""
    thought: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeAgentStateAction(Action, kind="change_agent_state", says="Agent state changed to {0.agent_state}"):
    """Ask the agent to change its state: stop, pause, continue, or take an answer."""

    agent_state: AgentState
    thought: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CondensationAction(Action, kind="condensation"):
    """From here on, the model is shown a summary in place of a range of events. The log keeps them."""

    forgotten_event_ids: tuple[int, ...] | None = None
    forgotten_events_start_id: int | None = None
    forgotten_events_end_id: int | None = None
    summary: str | None = None
    summary_offset: int | None = None

    def describe(self) -> str:
        return f"Summary: {self.summary}" if self.summary else "Older events are left out."


@dataclass(frozen=True, kw_only=True, slots=True)
class CondensationRequestAction(Action, kind="condensation_request"):
    """Ask for a condensation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NullAction(Action, kind="null"):
    """No action; in logs of OpenHands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskItem:
    """One line of the agent's task list. `status` is `todo`, `in_progress` or `done`."""

    id: str
    title: str
    status: str = "todo"
    notes: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskTrackingAction(Action, kind="task_tracking"):
    """View or replace the agent's task list."""

    command: str = "view"
    task_list: tuple[TaskItem, ...] = ()
    thought: str = ""

    def describe(self) -> str:
        return f"Task list: {self.command}, {len(self.task_list)} items"


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopRecoveryAction(Action, kind="loop_recovery"):
    """How to continue after a loop was detected."""

    option: int = 1


ACTIONS: dict[str, type[Action]] = kinds_of(Action, __name__, vars()) | OWN_ACTIONS
