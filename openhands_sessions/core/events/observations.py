"""Every observation of the wire, and our own ones (`turn_ended`, `turn_resumed`, `replay_begun`, `replay_ended`).

`content` stands beside `extras` on the wire; the other fields are the keys of `extras`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from openhands_sessions.core.events.actions import TaskItem
from openhands_sessions.core.events.event import AgentState, Json, Observation, kinds_of
from openhands_sessions.core.events.own import OWN_OBSERVATIONS

NO_EXIT_CODE = -1

STOPPED_ID = "AGENT_ERROR$ERROR_ACTION_NOT_EXECUTED_STOPPED"
NOT_RUN_ID = "AGENT_ERROR$ERROR_ACTION_NOT_EXECUTED"
UNKNOWN_OUTCOME_ID = "AGENT_ERROR$ERROR_OUTCOME_UNKNOWN"
BAD_CALL_ID = "AGENT_ERROR$BAD_ACTION"
DENIED_ID = "AGENT_ERROR$DENIED_BY_RULE"
TOOL_FAILED_ID = "AGENT_ERROR$TOOL_FAILED"
LEFT_RUNNING = "[still running]"
"""`suffix` of the metadata of a command that runs on after its observation."""
REPLAY_DIFFERS_ID = "REPLAY$DIFFERS"
REPLAY_LOST_ID = "REPLAY$LOST"
DAMAGED_ID = "LOG$DAMAGED"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunMetadata:
    """How a command ended. `exit_code` is -1 while unknown (still running, or ended by force)."""

    exit_code: int = NO_EXIT_CODE
    pid: int = -1
    username: str | None = None
    hostname: str | None = None
    working_dir: str | None = None
    py_interpreter_path: str | None = None
    prefix: str = ""
    suffix: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunObservation(
    Observation, kind="run", says="Command `{0.command}` ended with exit code {0.metadata.exit_code}."
):
    """The output of a command, and how it ended."""

    command: str
    metadata: RunMetadata = RunMetadata()
    hidden: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RunIpythonObservation(Observation, kind="run_ipython", says="The cell was run."):
    """The output of a cell."""

    code: str
    image_urls: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadObservation(Observation, kind="read", says="Read the file {0.path}."):
    """The content of a file."""

    path: str
    impl_source: str = "default"


@dataclass(frozen=True, kw_only=True, slots=True)
class WriteObservation(Observation, kind="write", says="Wrote the file {0.path}."):
    """A file was written."""

    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class EditObservation(Observation, kind="edit", says="Edited the file {0.path}."):
    """A file was changed."""

    path: str
    prev_exist: bool = False
    old_content: str | None = None
    new_content: str | None = None
    impl_source: str = "oh_aci"
    diff: str | None = None
    diff_cache: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BrowseObservation(Observation, kind="browse", says="Visited {0.url}"):
    """The content of a web page."""

    url: str
    trigger_by_action: str = ""
    screenshot: str = ""
    screenshot_path: str | None = None
    set_of_marks: str = ""
    error: bool = False
    goal_image_urls: tuple[str, ...] = ()
    open_pages_urls: tuple[str, ...] = ()
    active_page_index: int = -1
    dom_object: Mapping[str, Json] = field(default_factory=dict)
    axtree_object: Mapping[str, Json] = field(default_factory=dict)
    extra_element_properties: Mapping[str, Json] = field(default_factory=dict)
    last_browser_action: str = ""
    last_browser_action_error: str = ""
    focused_element_bid: str = ""
    filter_visible_only: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class McpObservation(Observation, kind="mcp"):
    """The answer of an MCP server's tool. `image_urls` is the data of images for the model; it is left out if there are
    none."""

    name: str
    arguments: Mapping[str, Json] = field(default_factory=dict)
    image_urls: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ThinkObservation(Observation, kind="think"):
    """A thought was recorded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentStateChangedObservation(Observation, kind="agent_state_changed"):
    """The agent's state from here on. `reason` is shown to users. `failed_stage` is the session's state in which set-up
    or the session failed; the key is left out if nothing failed."""

    agent_state: AgentState
    reason: str = ""
    failed_stage: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class UserRejectedObservation(Observation, kind="user_rejected"):
    """The user refused an action."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorObservation(Observation, kind="error"):
    """An action failed. `content` says why; `error_id` says it for programs."""

    error_id: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MicroagentKnowledge:
    """Knowledge that a trigger word has recalled."""

    name: str
    trigger: str
    content: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RecallObservation(Observation, kind="recall"):
    """Knowledge that may help with the task."""

    recall_type: str
    repo_name: str = ""
    repo_directory: str = ""
    repo_branch: str = ""
    repo_instructions: str = ""
    runtime_hosts: Mapping[str, Json] = field(default_factory=dict)
    additional_agent_instructions: str = ""
    date: str = ""
    custom_secrets_descriptions: Mapping[str, Json] = field(default_factory=dict)
    conversation_instructions: str = ""
    working_dir: str = ""
    microagent_knowledge: tuple[MicroagentKnowledge, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskTrackingObservation(Observation, kind="task_tracking"):
    """The agent's present task list."""

    command: str = "view"
    task_list: tuple[TaskItem, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class DelegateObservation(Observation, kind="delegate"):
    """The result of the other agent."""

    outputs: Mapping[str, Json] = field(default_factory=dict)

    def describe(self) -> str:
        return ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SuccessObservation(Observation, kind="success"):
    """The action succeeded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NullObservation(Observation, kind="null"):
    """No observation; in logs of OpenHands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CondenseObservation(Observation, kind="condense"):
    """Older events were left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DownloadObservation(Observation, kind="download"):
    """A file was fetched."""

    file_path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopDetectionObservation(Observation, kind="loop_detection"):
    """The agent repeats itself: a note to the agent, once for each series of repetitions; where the series goes on, the
    end of the turn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatObservation(Observation, kind="chat"):
    """Chat text; in logs of OpenHands."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageObservation(Observation, kind="message"):
    """A message as an observation; in logs of OpenHands."""


OBSERVATIONS: dict[str, type[Observation]] = kinds_of(Observation, __name__, vars()) | OWN_OBSERVATIONS
