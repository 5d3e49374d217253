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
    ConfigOut,
    ConversationOut,
    ConversationsOut,
    CreateIn,
    EditorOut,
    FeedbackIn,
    FeedbackOut,
    HostsOut,
    PromptOut,
    RenameIn,
    SayIn,
    StartedOut,
    StartIn,
    SuccessOut,
)
from openhands_sessions.protocol.errors import ErrorOut, MessageOut
from openhands_sessions.protocol.login import LOGIN_FORM, LoginLinkOut
from openhands_sessions.protocol.payloads import Schema
from openhands_sessions.protocol.settings import (
    ClientConfigOut,
    ProvidersIn,
    SecretChangeIn,
    SecretIn,
    SecretsOut,
    SettingsOut,
)
from openhands_sessions.protocol.workspaces import ChangeOut, DiffOut, FileOut, MicroagentsOut, UploadOut

Shape = Any
"""A type that pydantic describes, or a Schema where there is no such type."""
LARGEST_ID = 2**53
NOTHING: Schema = {}
TEXT: Schema = {"type": "string"}
ID: Schema = {"type": "string", "maxLength": 64}
HTML: Schema = {"type": "string", "contentMediaType": "text/html"}
OBJECT: Schema = {"type": "object"}
LIST: Schema = {"type": "array"}
LOG: Schema = {"type": "array", "items": {"$ref": "#/components/schemas/Event"}}
UPLOAD: Schema = {
    "type": "object",
    "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
    "required": ["files"],
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One of the query."""

    name: str
    schema: Schema = field(default_factory=lambda: TEXT)
    required: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One row. `call` is the method and the path. `reply` is the good answer, if there is one, with its `status` and
    `media`; `errors` are the others by status, besides those that any route may answer. `access` says who may ask,
    `slashes` whether parameters of the path may hold slashes."""

    call: str
    summary: str
    reply: Shape | None = field(default_factory=dict)
    tag: str = field(kw_only=True)
    query: tuple[Parameter, ...] = ()
    body: Shape | None = None
    body_media: str = "application/json"
    status: int = 200
    media: str = "application/json"
    errors: Mapping[int, Shape] = field(default_factory=dict)
    access: Literal["anyone", "caller"] = "caller"
    slashes: bool = False

    @property
    def method(self) -> str:
        return self.call.partition(" ")[0]

    @property
    def path(self) -> str:
        return self.call.partition(" ")[2]

    @property
    def parameters(self) -> list[str]:
        """The names of the path's parameters."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def pattern(self) -> str:
        """The path for aiohttp, whose own parameters do not match every value: they leave out `{` and `}`."""
        matched = "(?s:.+)" if self.slashes else "[^/]+"
        return re.sub(r"{(\w+)}", rf"{{\1:{matched}}}", self.path)

    @property
    def replies(self) -> Mapping[int, Shape]:
        """Every answer by its status."""
        return self.errors if self.reply is None else {self.status: self.reply, **self.errors}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _number(name: str, least: int = 0, most: int = LARGEST_ID, **more: int) -> Parameter:
    return Parameter(name, {"type": "integer", "minimum": least, "maximum": most, **more})


LIMIT = _number("limit", least=1, most=100, default=20)
START_ID = _number("start_id", default=0)
END_ID = _number("end_id", least=-1, default=-1)
EVENT_ID = _number("event_id")
REVERSE = Parameter("reverse", {"type": "boolean", "default": False})
FILTER = Parameter("filter", {**TEXT, "description": "JSON, see FilterIn: `source`, `query`, `include_types`, …"})
PAGE = (LIMIT, Parameter("page_id"), Parameter("selected_repository"))
SEARCH = Parameter("search", {**TEXT, "description": "Stands in the title or in the first message."})
ID_PREFIX = Parameter("id_prefix", {**ID, "description": "The beginning of the id."})
COUNT = Parameter("count", {"type": "boolean", "default": False, "description": "Answer the `total` too."})
TRIGGER = Parameter("conversation_trigger", {"enum": list(TRIGGERS)})
FILE = Parameter("file", required=True)
PATH = Parameter("path")

ALL = "/api/conversations"
ONE = f"{ALL}/{{conversation_id}}"
REPOSITORY = "/api/user/repository"
UNKNOWN: Mapping[int, Shape] = {404: ErrorOut}
REFUSED: Mapping[int, Shape] = {404: ErrorOut, 409: ErrorOut}

_conversations = partial(Route, tag="conversations")
LIST_CONVERSATIONS = _conversations(
    f"GET {ALL}",
    "A page of the caller's conversations, newest first.",
    ConversationsOut,
    query=(*PAGE, TRIGGER, SEARCH, ID_PREFIX, COUNT),
)
CREATE_CONVERSATION = _conversations(f"POST {ALL}", "Create a conversation and start it.", StartedOut, body=CreateIn)
LIST_MICROAGENT_CONVERSATIONS = _conversations(
    "GET /api/microagent-management/conversations",
    "A page of the conversations that were created to write a microagent.",
    ConversationsOut,
    query=PAGE,
)
DESCRIBE_CONVERSATION = _conversations(
    f"GET {ONE}", "One conversation, or null if it is unknown.", ConversationOut | None
)
RENAME_CONVERSATION = _conversations(f"PATCH {ONE}", "Change the title.", bool, body=RenameIn, errors=UNKNOWN)
DELETE_CONVERSATION = _conversations(
    f"DELETE {ONE}", "Delete a conversation with its workspace; false if it is unknown.", bool
)
START_CONVERSATION = _conversations(
    f"POST {ONE}/start", "Open the session of a conversation.", StartedOut, body=StartIn, errors=UNKNOWN
)
STOP_CONVERSATION = _conversations(f"POST {ONE}/stop", "Close the session of a conversation.", StartedOut)

_log = partial(Route, tag="log")
READ_EVENTS = _log(
    f"GET {ONE}/events",
    "A page of events, from the beginning or the end.",
    _object(events=LOG, has_more={"type": "boolean"}),
    query=(START_ID, END_ID, REVERSE, LIMIT, FILTER),
    errors={400: ErrorOut, 404: ErrorOut},
)
SEND_COMMAND = _log(
    f"POST {ONE}/events", "Send a command, as over the socket.", SuccessOut, body=CommandIn, errors=REFUSED
)
SAY = _log(f"POST {ONE}/message", "Send a message to the agent.", SuccessOut, body=SayIn, errors=REFUSED)
EXPORT = _log(f"GET {ONE}/trajectory", "The whole log, for an export.", _object(trajectory=LOG), errors=UNKNOWN)

_files = partial(Route, tag="files", errors=UNKNOWN)
LIST_FILES = _files(f"GET {ONE}/list-files", "The names in a folder of the workspace.", list[str], query=(PATH,))
READ_FILE = _files(
    f"GET {ONE}/select-file",
    "The content of a text file.",
    FileOut,
    query=(FILE,),
    errors={404: ErrorOut, 415: ErrorOut},
)
UPLOAD_FILES = _files(
    f"POST {ONE}/upload-files",
    "Upload files into the workspace.",
    UploadOut,
    body=UPLOAD,
    body_media="multipart/form-data",
)
ZIP_DIRECTORY = _files(
    f"GET {ONE}/zip-directory", "A folder of the workspace, as a zip file.", query=(PATH,), media="application/zip"
)
GIT_CHANGES = _files(
    f"GET {ONE}/git/changes", "The files that differ from the branch as it was fetched.", list[ChangeOut]
)
GIT_DIFF = _files(
    f"GET {ONE}/git/diff", "A file before and after its changes.", DiffOut, query=(Parameter("path", required=True),)
)

_details = partial(Route, tag="details", errors=UNKNOWN)
RUNTIME_CONFIG = _details(f"GET {ONE}/config", "The ids of the session and the sandbox.", ConfigOut)
VSCODE_URL = _details(
    f"GET {ONE}/vscode-url", "The address of an editor in the sandbox: always null, as there is none.", EditorOut
)
WEB_HOSTS = _details(f"GET {ONE}/web-hosts", "The addresses of web servers in the sandbox.", HostsOut)
LIST_MICROAGENTS = _details(f"GET {ONE}/microagents", "The microagents of the workspace.", MicroagentsOut)
REMEMBER_PROMPT = _details(
    f"GET {ONE}/remember-prompt",
    "A message that asks the agent to write down what it has learnt up to an event.",
    PromptOut,
    query=(EVENT_ID,),
)
SUBMIT_FEEDBACK = _details(
    f"POST {ONE}/submit-feedback", "Store a user's feedback on this server only.", FeedbackOut, body=FeedbackIn
)
EXPERIMENT_CONFIG = _details(f"POST {ONE}/exp-config", "Accepted, without effect.", bool)

_settings = partial(Route, tag="settings")
READ_SETTINGS = _settings(
    "GET /api/settings",
    "The caller's settings without keys, completed by the operator's; 404 if neither names a model.",
    SettingsOut,
    errors={404: ErrorOut},
)
STORE_SETTINGS = _settings(
    "POST /api/settings",
    "Store settings. What is left out gets its default; only keys, the model, its address and the consent keep their "
    "value.",
    MessageOut,
    body=UserSettings,
)
RESET_SETTINGS = _settings(
    "POST /api/reset-settings", "Removed; send `POST /api/settings` instead.", None, errors={410: ErrorOut}
)

_secrets = partial(Route, tag="secrets")
LIST_SECRETS = _secrets("GET /api/secrets", "The names of the caller's secrets.", SecretsOut)
ADD_SECRET = _secrets(
    "POST /api/secrets",
    "Store a secret, an environment variable of the caller's sandboxes.",
    MessageOut,
    status=201,
    body=SecretIn,
    errors={400: ErrorOut},
)
CHANGE_SECRET = _secrets(
    "PUT /api/secrets/{name}",
    "Change a secret's name or description.",
    MessageOut,
    body=SecretChangeIn,
    errors={400: ErrorOut, 404: ErrorOut},
)
DELETE_SECRET = _secrets("DELETE /api/secrets/{name}", "Delete a secret.", MessageOut, errors={404: ErrorOut})

_providers = partial(Route, tag="git providers")
ADD_PROVIDERS = _providers(
    "POST /api/add-git-providers",
    "Store tokens of git providers. They are never shown, and nothing uses them yet.",
    MessageOut,
    body=ProvidersIn,
)
UNSET_PROVIDERS = _providers("POST /api/unset-provider-tokens", "Delete all tokens.", MessageOut)
USER_INFO = _providers("GET /api/user/info", "Who the user is.", OBJECT)
USER_REPOSITORIES = _providers("GET /api/user/repositories", "The user's repositories.", LIST)
SEARCH_REPOSITORIES = _providers("GET /api/user/search/repositories", "Repositories by name.", LIST)
SEARCH_BRANCHES = _providers("GET /api/user/search/branches", "Branches by name.", LIST)
REPOSITORY_BRANCHES = _providers(f"GET {REPOSITORY}/branches", "A page of a repository's branches.", OBJECT)
INSTALLATIONS = _providers("GET /api/user/installations", "Where the provider's app is installed.", LIST)
SUGGESTED_TASKS = _providers("GET /api/user/suggested-tasks", "Tasks that the user could begin with.", LIST)
_of_repository = partial(_providers, slashes=True)
REPOSITORY_MICROAGENTS = _of_repository(
    f"GET {REPOSITORY}/{{name}}/microagents", "The microagents of a repository.", LIST
)
REPOSITORY_MICROAGENT = _of_repository(
    f"GET {REPOSITORY}/{{name}}/microagents/content", "The content of one microagent.", None, errors=UNKNOWN
)

_options = partial(Route, tag="options")
CLIENT_CONFIG = _options("GET /api/options/config", "The configuration of the web client.", ClientConfigOut)
LIST_MODELS = _options("GET /api/options/models", "The names of models, as litellm has them.", list[str])
LIST_AGENTS = _options("GET /api/options/agents", "The names of agents.", list[str])
LIST_ANALYZERS = _options("GET /api/options/security-analyzers", "The names of security analyzers.", list[str])

_login = partial(Route, reply=HTML, tag="login", status=303, media="text/html", access="anyone")
LOGIN_PAGE = _login(
    "GET /api/login",
    "Log a browser in by a one-time token, or show a form that asks for the key; `/` does the same.",
    query=(Parameter("token"),),
    errors={200: HTML, 401: HTML},
)
LOG_IN = _login(
    "POST /api/login",
    "Log a browser in by the key: set its cookie, and redirect it to a page.",
    body=LOGIN_FORM,
    body_media="application/x-www-form-urlencoded",
    errors={401: HTML},
)
LOG_OUT = _login("POST /api/logout", "Remove the browser's cookie.")
LOGIN_LINK = Route("POST /api/login-link", "A one-time token that logs a browser in.", LoginLinkOut, tag="login")

_server = partial(Route, tag="server")
_probe = partial(_server, access="anyone")
ALIVE = _probe("GET /alive", "Is the process alive?")
HEALTH = _probe("GET /health", "The same, answered with one word.", str)
LIVE = _probe("GET /health/live", "Is the process alive?")
READY = _probe("GET /health/ready", "Does the server accept work?", OBJECT, errors={503: ErrorOut})
SERVER_INFO = _server("GET /server_info", "The version, and the resources that the server uses.")
OPENAPI = _server("GET /api/openapi.json", "The OpenAPI document of these routes.")
SOCKET_SCHEMA = _server("GET /api/socket.schema.json", "A JSON schema of all messages of the socket.")
ASYNCAPI = _server("GET /api/asyncapi.json", "The AsyncAPI document of the socket.")
DOCS = _server("GET /api/docs", "The OpenAPI document as a page.", media="text/html")

ROUTES: tuple[Route, ...] = tuple(row for row in list(globals().values()) if isinstance(row, Route))
"""Every row above, in its order."""
ANYONE = frozenset(route.path for route in ROUTES if route.access == "anyone")
"""Paths that need no credentials."""
