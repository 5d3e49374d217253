"""The table of routes: what each takes and answers, and who may ask.

The server registers its handlers from it, the remote gateway takes its paths from it, and OpenAPI is made from it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from openhands_sessions.core.user_settings import UserSettings
from openhands_sessions.protocol.commands import CommandIn
from openhands_sessions.protocol.conversations import (
    TRIGGERS,
    ChangeOut,
    ConfigOut,
    ConversationOut,
    ConversationsOut,
    CreateIn,
    DiffOut,
    EditorOut,
    FeedbackIn,
    FileOut,
    HostsOut,
    MicroagentsOut,
    PromptOut,
    RenameIn,
    SayIn,
    StartedOut,
    StartIn,
    SuccessOut,
    UploadOut,
)
from openhands_sessions.protocol.errors import ErrorOut, MessageOut, ProblemOut
from openhands_sessions.protocol.payloads import Schema
from openhands_sessions.protocol.settings import (
    ClientConfigOut,
    ProvidersIn,
    SecretChangeIn,
    SecretIn,
    SecretsOut,
    SettingsOut,
)

Shape = Any
"""A type that pydantic describes, or a Schema where there is no such type."""
LARGEST_ID = 2**53
NOTHING: Schema = {}
TEXT: Schema = {"type": "string"}
ID: Schema = {"type": "string", "maxLength": 64}
OBJECT: Schema = {"type": "object"}
LIST: Schema = {"type": "array"}
LOG: Schema = {"type": "array", "items": {"$ref": "#/components/schemas/Event"}}
UPLOAD: Schema = {
    "type": "object",
    "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
    "required": ["files"],
}
_WIDE = ":.+}"
"""Ends a part of a pattern that may hold slashes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """One of the query."""

    name: str
    schema: Schema = field(default_factory=lambda: TEXT)
    required: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One row. `pattern` is aiohttp's. `reply` is the good answer, if there is one, with `status` and `media`; `errors`
    are the others by status, besides those that any route may answer. `access` says who may ask."""

    method: str
    pattern: str
    summary: str
    tag: str
    query: tuple[Parameter, ...] = ()
    body: Shape | None = None
    body_media: str = "application/json"
    reply: Shape | None = field(default_factory=dict)
    status: int = 200
    media: str = "application/json"
    errors: Mapping[int, Shape] = field(default_factory=dict)
    access: Literal["anyone", "caller"] = "caller"

    @property
    def path(self) -> str:
        """With each part that is filled in as `{name}`."""
        return self.pattern.replace(_WIDE, "}")

    @property
    def parameters(self) -> list[str]:
        """The names of the parts that are filled in."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def replies(self) -> dict[int, Shape]:
        """Every answer by its status."""
        good = {} if self.reply is None else {self.status: self.reply}
        return {**good, **self.errors}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _number(name: str, least: int = 0, most: int = LARGEST_ID, **more: int) -> Parameter:
    return Parameter(name=name, schema={"type": "integer", "minimum": least, "maximum": most, **more})


LIMIT = _number("limit", least=1, most=100, default=20)
START_ID = _number("start_id", default=0)
END_ID = _number("end_id", least=-1, default=-1)
EVENT_ID = _number("event_id")
REVERSE = Parameter(name="reverse", schema={"type": "boolean", "default": False})
FILTER = Parameter(
    name="filter",
    schema={**TEXT, "description": "JSON: `source`, `query`, `include_types`, `exclude_types`, `exclude_hidden`, …"},
)
PAGE = (LIMIT, Parameter(name="page_id"), Parameter(name="selected_repository"))
TRIGGER = Parameter(name="conversation_trigger", schema={"enum": list(TRIGGERS)})
PATH = Parameter(name="path")

CONVERSATIONS = "/api/conversations"
BELOW = f"{CONVERSATIONS}/{{conversation_id}}"
REPOSITORY = "/api/user/repository/{name:.+}"
UNKNOWN: Mapping[int, Shape] = {404: ErrorOut}
REFUSED: Mapping[int, Shape] = {404: ErrorOut, 409: ErrorOut}

_conversations = partial(Route, tag="conversations")
LIST_CONVERSATIONS = _conversations(
    "GET",
    CONVERSATIONS,
    "A page of the caller's conversations, newest first.",
    query=(*PAGE, TRIGGER),
    reply=ConversationsOut,
)
CREATE_CONVERSATION = _conversations(
    "POST", CONVERSATIONS, "Create a conversation and start it.", body=CreateIn, reply=StartedOut
)
LIST_MICROAGENT_CONVERSATIONS = _conversations(
    "GET",
    "/api/microagent-management/conversations",
    "A page of the conversations that were created to write a microagent.",
    query=PAGE,
    reply=ConversationsOut,
)
DESCRIBE_CONVERSATION = _conversations(
    "GET", BELOW, "One conversation; null for an unknown one.", reply=ConversationOut | None
)
RENAME_CONVERSATION = _conversations("PATCH", BELOW, "Change its title.", body=RenameIn, reply=bool, errors=UNKNOWN)
DELETE_CONVERSATION = _conversations(
    "DELETE", BELOW, "Delete it with all that belongs to it; false for an unknown one.", reply=bool
)
START_CONVERSATION = _conversations(
    "POST", f"{BELOW}/start", "Open its session.", body=StartIn, reply=StartedOut, errors=UNKNOWN
)
STOP_CONVERSATION = _conversations("POST", f"{BELOW}/stop", "Close its session.", reply=StartedOut)

_log = partial(Route, tag="log")
READ_EVENTS = _log(
    "GET",
    f"{BELOW}/events",
    "Events by page, from both ends.",
    query=(START_ID, END_ID, REVERSE, LIMIT, FILTER),
    reply=_object(events=LOG, has_more={"type": "boolean"}),
    errors={400: ErrorOut, 404: ErrorOut},
)
SEND_COMMAND = _log(
    "POST", f"{BELOW}/events", "Send a command, as over the socket.", body=CommandIn, reply=SuccessOut, errors=REFUSED
)
SAY = _log("POST", f"{BELOW}/message", "Say something to the agent.", body=SayIn, reply=SuccessOut, errors=REFUSED)
EXPORT_TRAJECTORY = _log(
    "GET", f"{BELOW}/trajectory", "The whole log, as an export.", reply=_object(trajectory=LOG), errors=UNKNOWN
)

_files = partial(Route, tag="files")
LIST_FILES = _files(
    "GET",
    f"{BELOW}/list-files",
    "The names in a folder of the workspace.",
    query=(PATH,),
    reply=list[str],
    errors=UNKNOWN,
)
READ_FILE = _files(
    "GET",
    f"{BELOW}/select-file",
    "A text file.",
    query=(Parameter(name="file", required=True),),
    reply=FileOut,
    errors={404: ErrorOut, 415: ErrorOut},
)
UPLOAD_FILES = _files(
    "POST",
    f"{BELOW}/upload-files",
    "Put files into the workspace.",
    body=UPLOAD,
    body_media="multipart/form-data",
    reply=UploadOut,
    errors=UNKNOWN,
)
ZIP_DIRECTORY = _files(
    "GET",
    f"{BELOW}/zip-directory",
    "A folder of the workspace, as a zip file.",
    query=(PATH,),
    media="application/zip",
    errors=UNKNOWN,
)
GIT_CHANGES = _files(
    "GET",
    f"{BELOW}/git/changes",
    "What differs from the branch as it was fetched.",
    reply=list[ChangeOut],
    errors=UNKNOWN,
)
GIT_DIFF = _files(
    "GET",
    f"{BELOW}/git/diff",
    "A file before and after.",
    query=(Parameter(name="path", required=True),),
    reply=DiffOut,
    errors=UNKNOWN,
)

_details = partial(Route, tag="details", errors=UNKNOWN)
RUNTIME_CONFIG = _details("GET", f"{BELOW}/config", "The ids of its session and its sandbox.", reply=ConfigOut)
VSCODE_URL = _details(
    "GET", f"{BELOW}/vscode-url", "The address of its editor; null, as there is none.", reply=EditorOut
)
WEB_HOSTS = _details("GET", f"{BELOW}/web-hosts", "The addresses of its web servers.", reply=HostsOut)
LIST_MICROAGENTS = _details("GET", f"{BELOW}/microagents", "The workspace's files of knowledge.", reply=MicroagentsOut)
REMEMBER_PROMPT = _details(
    "GET",
    f"{BELOW}/remember-prompt",
    "A message that has the agent write down what it found out up to an event.",
    query=(EVENT_ID,),
    reply=PromptOut,
)
SUBMIT_FEEDBACK = _details(
    "POST",
    f"{BELOW}/submit-feedback",
    "Store a user's feedback. Nothing is sent anywhere.",
    body=FeedbackIn,
    reply=OBJECT,
)
EXPERIMENT_CONFIG = _details("POST", f"{BELOW}/exp-config", "Accepted, and without effect.", reply=bool)

_settings = partial(Route, tag="settings")
READ_SETTINGS = _settings(
    "GET",
    "/api/settings",
    "The caller's settings, without keys; 404 before the first store.",
    reply=SettingsOut,
    errors={404: ProblemOut},
)
STORE_SETTINGS = _settings(
    "POST",
    "/api/settings",
    "Store settings. Keys, the model, its address and the consent stay where they are left out; the rest goes to its "
    "default.",
    body=UserSettings,
    reply=MessageOut,
)
RESET_SETTINGS = _settings(
    "POST", "/api/reset-settings", "Removed: store the settings instead.", reply=None, errors={410: ProblemOut}
)

_secrets = partial(Route, tag="secrets")
LIST_SECRETS = _secrets("GET", "/api/secrets", "The names of the caller's secrets.", reply=SecretsOut)
ADD_SECRET = _secrets(
    "POST",
    "/api/secrets",
    "Store a secret, for the environment of the caller's sandboxes.",
    body=SecretIn,
    reply=MessageOut,
    status=201,
    errors={400: MessageOut},
)
CHANGE_SECRET = _secrets(
    "PUT",
    "/api/secrets/{name}",
    "Change a secret's name or description.",
    body=SecretChangeIn,
    reply=MessageOut,
    errors={400: MessageOut, 404: ProblemOut},
)
DELETE_SECRET = _secrets(
    "DELETE", "/api/secrets/{name}", "Delete a secret.", reply=MessageOut, errors={404: ProblemOut}
)

_providers = partial(Route, tag="git providers")
ADD_PROVIDERS = _providers(
    "POST",
    "/api/add-git-providers",
    "Store tokens of git providers. They are never shown, and not used yet.",
    body=ProvidersIn,
    reply=MessageOut,
)
UNSET_PROVIDERS = _providers("POST", "/api/unset-provider-tokens", "Delete every token.", reply=MessageOut)
_asking = partial(_providers, "GET", errors={401: TEXT})
USER_INFO = _asking("/api/user/info", "Who the user is.", reply=OBJECT)
USER_REPOSITORIES = _asking("/api/user/repositories", "The user's repositories.", reply=LIST)
SEARCH_REPOSITORIES = _asking("/api/user/search/repositories", "Repositories by name.", reply=LIST)
SEARCH_BRANCHES = _asking("/api/user/search/branches", "Branches by name.", reply=LIST)
REPOSITORY_BRANCHES = _asking("/api/user/repository/branches", "A page of a repository's branches.", reply=OBJECT)
INSTALLATIONS = _asking("/api/user/installations", "Where the provider's app is installed.", reply=LIST)
SUGGESTED_TASKS = _asking("/api/user/suggested-tasks", "What could be done.", reply=LIST)
REPOSITORY_MICROAGENTS = _asking(f"{REPOSITORY}/microagents", "A repository's files of knowledge.", reply=LIST)
REPOSITORY_MICROAGENT = _providers(
    "GET", f"{REPOSITORY}/microagents/content", "One of them.", reply=None, errors={401: TEXT, 404: ErrorOut}
)

_options = partial(Route, tag="options")
CLIENT_CONFIG = _options("GET", "/api/options/config", "How the web client is to behave.", reply=ClientConfigOut)
LIST_MODELS = _options("GET", "/api/options/models", "Models by litellm's names.", reply=list[str])
LIST_AGENTS = _options("GET", "/api/options/agents", "Agents.", reply=list[str])
LIST_ANALYZERS = _options("GET", "/api/options/security-analyzers", "Security analyzers.", reply=list[str])

_server = partial(Route, tag="server")
_probe = partial(_server, "GET", access="anyone")
ALIVE = _probe("/alive", "Is the process alive?")
HEALTH = _probe("/health", "The same, in a word.", reply=str)
LIVE = _probe("/health/live", "Is the process alive?")
READY = _probe("/health/ready", "Does it accept new work?", reply=OBJECT, errors={503: OBJECT})
SERVER_INFO = _server("GET", "/server_info", "What it is, and what it uses.")
OPENAPI = _server("GET", "/api/openapi.json", "This document.")
SOCKET_SCHEMA = _server("GET", "/api/socket.schema.json", "A JSON schema of what goes over the socket.")
ASYNCAPI = _server("GET", "/api/asyncapi.json", "The socket's AsyncAPI document.")
DOCS = _server("GET", "/api/docs", "This document, as a page.", media="text/html")

ROUTES: tuple[Route, ...] = tuple(row for row in list(globals().values()) if isinstance(row, Route))
"""Every row above, in its order."""
ANYONE = frozenset(route.path for route in ROUTES if route.access == "anyone")
"""Paths that need no credentials."""
