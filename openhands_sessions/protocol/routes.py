"""The table of routes: what each takes and answers, and who may ask.

The server registers its handlers from it, the remote gateway takes its paths from it, and OpenAPI is made from it.
"""

from collections.abc import Mapping
from functools import partial

from openhands_sessions.core.permissions import Permission
from openhands_sessions.core.user_settings import UserSettings
from openhands_sessions.protocol import parameters as query
from openhands_sessions.protocol.budgets import BudgetIn, BudgetSetOut
from openhands_sessions.protocol.commands import AcceptedOut, CommandIn, ModelIn, ModelOut, SayIn, SendIn
from openhands_sessions.protocol.conversations import (
    ConversationOut,
    ConversationsOut,
    CreateIn,
    FeedbackIn,
    FeedbackOut,
    RenameIn,
    StartedOut,
    StartIn,
)
from openhands_sessions.protocol.details import ConfigOut, EditorOut, HostsOut, PromptOut
from openhands_sessions.protocol.errors import ErrorOut, MessageOut
from openhands_sessions.protocol.forks import DiffHistoryOut, ForkedOut, ForkIn
from openhands_sessions.protocol.history import HistoryIn
from openhands_sessions.protocol.history_answers import HistoryChangedOut, HistoryOut
from openhands_sessions.protocol.lists import ReadIn, ReadOut
from openhands_sessions.protocol.payloads import Schema
from openhands_sessions.protocol.route import OBJECT, TEXT, Parameter, Route, Shape
from openhands_sessions.protocol.server_routes import SERVER_ROUTES
from openhands_sessions.protocol.settings import (
    ClientConfigOut,
    ProvidersIn,
    SecretChangeIn,
    SecretIn,
    SecretsOut,
    SecretValueIn,
    SettingsOut,
)
from openhands_sessions.protocol.shares import GrantIn, GrantOut, LinkIn, LinkOut, SharesOut
from openhands_sessions.protocol.state_routes import STATE_ROUTES
from openhands_sessions.protocol.usage import UsageOut
from openhands_sessions.protocol.workspaces import UPLOAD, ChangeOut, DiffOut, FileOut, MicroagentsOut, UploadOut

NOTHING: Schema = {}
LIST: Schema = {"type": "array"}
LOG: Schema = {"type": "array", "items": {"$ref": "#/components/schemas/Event"}}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


ALL = "/api/conversations"
ONE = f"{ALL}/{{conversation_id}}"
REPOSITORY = "/api/user/repository"
VIEW, WRITE, OWN = Permission
UNKNOWN: Mapping[int, Shape] = {404: ErrorOut}
REFUSED: Mapping[int, Shape] = {404: ErrorOut, 409: ErrorOut}

_conversations = partial(Route, tag="conversations")
LIST_CONVERSATIONS = _conversations(
    f"GET {ALL}",
    "A page of the caller's conversations, newest first.",
    ConversationsOut,
    query=(*query.PAGE, query.TRIGGER, query.SEARCH, query.ID_PREFIX, query.COUNT),
)
CREATE_CONVERSATION = _conversations(f"POST {ALL}", "Create a conversation and start it.", StartedOut, body=CreateIn)
LIST_MICROAGENT_CONVERSATIONS = _conversations(
    "GET /api/microagent-management/conversations",
    "A page of the conversations that were created to write a microagent.",
    ConversationsOut,
    query=query.PAGE,
)
DESCRIBE_CONVERSATION = _conversations(
    f"GET {ONE}", "One conversation, or null if it is unknown.", ConversationOut | None, needs=VIEW
)
RENAME_CONVERSATION = _conversations(
    f"PATCH {ONE}", "Change the title.", bool, body=RenameIn, errors=UNKNOWN, needs=OWN
)
DELETE_CONVERSATION = _conversations(
    f"DELETE {ONE}", "Delete a conversation with its workspace; false if it is unknown.", bool, needs=OWN
)
START_CONVERSATION = _conversations(
    f"POST {ONE}/start", "Open the session of a conversation.", StartedOut, body=StartIn, errors=UNKNOWN, needs=VIEW
)
_forked = partial(_conversations, status=201, errors=REFUSED, needs=VIEW, by_link=False)
FORK_CONVERSATION = _forked(
    f"POST {ONE}/fork", "Make a conversation that goes on from a copy of this one's dialogue.", ForkedOut, body=ForkIn
)
_owned = partial(_conversations, errors=REFUSED, needs=OWN)
SET_MODEL = _owned(
    f"PUT {ONE}/model", "Have another model answer, from the next turn on; refused in a turn.", ModelOut, body=ModelIn
)
SET_BUDGET = _owned(f"PUT {ONE}/budget", "Set the auto-approval budget, or turn it off.", BudgetSetOut, body=BudgetIn)
MARK_READ = _conversations(
    f"POST {ONE}/read",
    "Raise the caller's read mark, behind which `unread` counts; a lower one changes nothing.",
    ReadOut,
    body=ReadIn,
    errors=UNKNOWN,
    needs=VIEW,
)
STOP_CONVERSATION = _conversations(f"POST {ONE}/stop", "Close the session of a conversation.", StartedOut, needs=WRITE)

_log = partial(Route, tag="log", needs=VIEW)
_told = partial(_log, errors=REFUSED, needs=WRITE)
_read = partial(_log, errors=UNKNOWN)
READ_EVENTS = _log(
    f"GET {ONE}/events",
    "A page of events, from the beginning or the end.",
    _object(events=LOG, has_more={"type": "boolean"}),
    query=(query.START_ID, query.END_ID, query.REVERSE, query.LIMIT, query.FILTER),
    errors={400: ErrorOut, 404: ErrorOut},
)
STREAM_EVENTS = _read(
    f"GET {ONE}/events/stream",
    "The log as it grows, by server-sent events: `oh_event`, with an id if it is stored, `oh_delta`, and `ended`.",
    TEXT,
    query=(query.AFTER,),
    media="text/event-stream",
)
SEND_COMMAND = _told(f"POST {ONE}/events", "Send a command, as over the socket.", AcceptedOut, body=CommandIn)
SAY = _told(f"POST {ONE}/message", "Send a message to the agent.", AcceptedOut, body=SayIn)
SEND_MESSAGE = _told(
    f"POST {ONE}/messages",
    "Send a message, or queue it. With `stream`, the answer is `text/event-stream`: the events from the message to the "
    "end of its turn.",
    AcceptedOut,
    query=(query.STREAM,),
    body=SendIn,
)
READ_HISTORY = _read(
    f"GET {ONE}/history",
    "The turns of the visible dialogue, the newest or those before a message, its branches and checkpoints.",
    HistoryOut,
    query=(query.TURNS, query.BEFORE),
)
DIFF_HISTORY = _read(f"GET {ONE}/diff", "The turns that one dialogue has alone.", DiffHistoryOut, query=query.RELATED)
CHANGE_HISTORY = _told(
    f"POST {ONE}/history",
    "Undo, move, edit, regenerate, switch, merge, checkpoint, delete_branch, compact or seed: what was done. While a "
    "turn runs, all but `checkpoint` and `delete_branch` are refused.",
    HistoryChangedOut,
    body=HistoryIn,
)
EXPORT = _read(
    f"GET {ONE}/trajectory",
    "The whole log, for an export, with the owner's id and the cost in US dollars.",
    _object(trajectory=LOG, user_id=TEXT, total_cost={"type": ["number", "null"]}),
)

_files = partial(Route, tag="files", errors=UNKNOWN, needs=VIEW)
LIST_FILES = _files(f"GET {ONE}/list-files", "The names in a folder of the workspace.", list[str], query=(query.PATH,))
READ_FILE = _files(
    f"GET {ONE}/select-file",
    "The content of a text file.",
    FileOut,
    query=(query.FILE,),
    errors={404: ErrorOut, 415: ErrorOut},
)
UPLOAD_FILES = _files(
    f"POST {ONE}/upload-files",
    "Upload files into the workspace.",
    UploadOut,
    body=UPLOAD,
    body_media="multipart/form-data",
    needs=WRITE,
)
ZIP_DIRECTORY = _files(
    f"GET {ONE}/zip-directory",
    "A folder of the workspace, as a zip file.",
    query=(query.PATH,),
    media="application/zip",
)
GIT_CHANGES = _files(
    f"GET {ONE}/git/changes", "The files that differ from the branch as it was fetched.", list[ChangeOut]
)
GIT_DIFF = _files(
    f"GET {ONE}/git/diff", "A file before and after its changes.", DiffOut, query=(Parameter("path", required=True),)
)

_details = partial(Route, tag="details", errors=UNKNOWN, needs=VIEW)
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
    query=(query.EVENT_ID,),
)
SUBMIT_FEEDBACK = _details(
    f"POST {ONE}/submit-feedback",
    "Store a user's feedback on this server only.",
    FeedbackOut,
    body=FeedbackIn,
    needs=WRITE,
)
EXPERIMENT_CONFIG = _details(f"POST {ONE}/exp-config", "Accepted, without effect.", bool)

_sharing = partial(Route, tag="sharing", errors=UNKNOWN, needs=OWN)
LIST_SHARES = _sharing(f"GET {ONE}/shares", "Whom the conversation is shared with, and who follows it now.", SharesOut)
SHARE = _sharing(f"POST {ONE}/shares", "Let a user in, or change what it may.", GrantOut, body=GrantIn)
UNSHARE = _sharing(
    f"DELETE {ONE}/shares",
    "Let a user in no more, and end its connections to the conversation.",
    bool,
    query=(query.GUEST,),
)
MAKE_LINK = _sharing(
    f"POST {ONE}/links", "Make a link; its token is shown this once.", LinkOut, status=201, body=LinkIn
)
REVOKE_LINK = _sharing(
    f"DELETE {ONE}/links", "Revoke a link, and end the connections that use it.", bool, query=(query.LINK,)
)

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
BAD, NO = {400: ErrorOut}, {404: ErrorOut}
LIST_SECRETS = _secrets("GET /api/secrets", "The names of the caller's secrets.", SecretsOut)
ADD_SECRET = _secrets(
    "POST /api/secrets", "Store a secret of the caller's sandboxes.", MessageOut, status=201, body=SecretIn, errors=BAD
)
CHANGE_SECRET = _secrets(
    "PUT /api/secrets/{name}",
    "Change a secret's name or description.",
    MessageOut,
    body=SecretChangeIn,
    errors={400: ErrorOut, 404: ErrorOut},
)
REPLACE_SECRET = _secrets(
    "PUT /api/secrets/{name}/value", "Replace a value in live sessions.", MessageOut, body=SecretValueIn, errors=NO
)
DELETE_SECRET = _secrets("DELETE /api/secrets/{name}", "Delete a secret.", MessageOut, errors={404: ErrorOut})

_usage = partial(Route, tag="usage")
USAGE = _usage(
    "GET /api/usage",
    "What the caller's model calls have used, and what quotas leave; operators may name another `user`.",
    UsageOut,
    query=(query.USER, query.DAYS),
    errors={404: ErrorOut},
)

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

ROUTES = (*(row for row in list(globals().values()) if isinstance(row, Route)), *STATE_ROUTES, *SERVER_ROUTES)
"""Every row above, in its order, and those of `state_routes` and `server_routes`."""
ANYONE = frozenset(route.path for route in ROUTES if route.access == "anyone")
"""Paths that need no credentials."""
OPERATORS = frozenset(route.path for route in ROUTES if route.access == "operator")
"""Paths that only operators may ask."""
