"""The routes of conversations: their life, their log, what they are asked besides."""

from openhands_sessions.server.rest.conversations import TRIGGERS
from openhands_sessions.server.schema.operations import BELOW, NAMES, NOTHING, NUMBER, TEXT, TRUE, Operation, Schema
from openhands_sessions.server.schema.replies import (
    ChangeOut,
    ConversationOut,
    ConversationsOut,
    DiffOut,
    ErrorOut,
    MicroagentsOut,
    ProblemOut,
    PromptOut,
    StartedOut,
    SuccessOut,
    UploadOut,
)
from openhands_sessions.server.wire import RenameIn, StartIn
from openhands_sessions.server.wire_conversations import CreateIn, FeedbackIn, FilterIn, SayIn

ALL = "/api/conversations"
PAGE: dict[str, Schema] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
    "page_id": TEXT,
    "selected_repository": TEXT,
}
TRIGGER: dict[str, Schema] = {"conversation_trigger": {"enum": list(TRIGGERS)}}
EVENTS: dict[str, Schema] = {
    "start_id": {**NUMBER, "default": 0},
    "end_id": {"type": "integer", "minimum": -1, "maximum": 2**53, "default": -1},
    "reverse": {"type": "boolean", "default": False},
    "limit": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
    "filter": {**TEXT, "description": "JSON, see FilterIn: `source`, `query`, `include_types`, `exclude_types`, …"},
}
ONE_OF_THE_LOG: Schema = {"$ref": "#/components/schemas/Event"}
LOG: Schema = {"type": "array", "items": ONE_OF_THE_LOG}
COMMAND: Schema = {"oneOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("MessageIn", "StateIn")]}
UPLOAD: Schema = {
    "type": "object",
    "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
    "required": ["files"],
}
CHANGES: Schema = {"type": "array", "items": {"$ref": f"#/components/schemas/{ChangeOut.__name__}"}}
PATH: dict[str, Schema] = {"path": TEXT}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _or_null(name: str) -> Schema:
    return {"anyOf": [{"$ref": f"#/components/schemas/{name}"}, {"type": "null"}]}


LIFE = (
    Operation(
        method="GET",
        path=ALL,
        summary="A page of the caller's conversations, newest first.",
        tag="conversations",
        query={**PAGE, **TRIGGER},
        replies={200: ConversationsOut},
    ),
    Operation(
        method="POST",
        path=ALL,
        summary="Make a conversation, and begin it.",
        tag="conversations",
        body=CreateIn,
        replies={200: StartedOut},
    ),
    Operation(
        method="GET",
        path="/api/microagent-management/conversations",
        summary="A page of those that were begun on the page about microagents.",
        tag="conversations",
        query=PAGE,
        replies={200: ConversationsOut},
    ),
    Operation(
        method="GET",
        path=BELOW,
        summary="One conversation; null where there is none.",
        tag="conversations",
        replies={200: _or_null(ConversationOut.__name__)},
    ),
    Operation(
        method="PATCH",
        path=BELOW,
        summary="Give it another title.",
        tag="conversations",
        body=RenameIn,
        replies={200: TRUE, 404: ErrorOut},
    ),
    Operation(
        method="DELETE",
        path=BELOW,
        summary="Delete it with all that is its own; false where there was none.",
        tag="conversations",
        replies={200: TRUE},
    ),
    Operation(
        method="POST",
        path=f"{BELOW}/start",
        summary="Open its session.",
        tag="conversations",
        body=StartIn,
        replies={200: StartedOut, 404: ErrorOut},
    ),
    Operation(
        method="POST",
        path=f"{BELOW}/stop",
        summary="Close its session.",
        tag="conversations",
        replies={200: StartedOut},
    ),
)
LOGS = (
    Operation(
        method="GET",
        path=f"{BELOW}/events",
        summary="Events by page, from both ends.",
        tag="log",
        query=EVENTS,
        replies={200: _object(events=LOG, has_more=TRUE), 400: ErrorOut, 404: ErrorOut},
    ),
    Operation(
        method="POST",
        path=f"{BELOW}/events",
        summary="What a client may also send over its socket.",
        tag="log",
        body=COMMAND,
        replies={200: SuccessOut, 404: ErrorOut, 409: ErrorOut},
    ),
    Operation(
        method="POST",
        path=f"{BELOW}/message",
        summary="Say something to the agent.",
        tag="log",
        body=SayIn,
        replies={200: SuccessOut, 404: ErrorOut, 409: ErrorOut},
    ),
    Operation(
        method="GET",
        path=f"{BELOW}/trajectory",
        summary="The whole log, as an export.",
        tag="log",
        replies={200: _object(trajectory=LOG), 404: ErrorOut},
    ),
)
FILES = (
    Operation(
        method="GET",
        path=f"{BELOW}/list-files",
        summary="The names in a folder of the workspace.",
        tag="files",
        query=PATH,
        replies={200: NAMES, 404: ErrorOut},
    ),
    Operation(
        method="GET",
        path=f"{BELOW}/select-file",
        summary="A text file.",
        tag="files",
        query={"file": {**TEXT, "required": True}},
        replies={200: _object(code=TEXT), 404: ErrorOut, 415: ErrorOut},
    ),
    Operation(
        method="POST",
        path=f"{BELOW}/upload-files",
        summary="Put files into the workspace.",
        tag="files",
        body=UPLOAD,
        body_media="multipart/form-data",
        replies={200: UploadOut, 404: ErrorOut},
    ),
    Operation(
        method="GET",
        path=f"{BELOW}/zip-directory",
        summary="A folder of the workspace, packed.",
        tag="files",
        query=PATH,
        replies={200: NOTHING, 404: ErrorOut},
        media="application/zip",
    ),
    Operation(
        method="GET",
        path=f"{BELOW}/git/changes",
        summary="What differs from the branch as it was fetched.",
        tag="files",
        replies={
            200: {"type": "array", "items": {"$ref": f"#/components/schemas/{ChangeOut.__name__}"}},
            404: ErrorOut,
        },
    ),
    Operation(
        method="GET",
        path=f"{BELOW}/git/diff",
        summary="A file before and after.",
        tag="files",
        query={"path": {**TEXT, "required": True}},
        replies={200: DiffOut, 404: ErrorOut},
    ),
)
DETAILS = (
    Operation(
        method="GET",
        path=f"{BELOW}/config",
        summary="The ids of its session and its sandbox.",
        tag="details",
        replies={200: _object(runtime_id={"type": ["string", "null"]}, session_id=TEXT), 404: ErrorOut},
    ),
    Operation(
        method="GET",
        path=f"{BELOW}/vscode-url",
        summary="Where its editor is; null, for there is none.",
        tag="details",
        replies={200: _object(vscode_url={"type": ["string", "null"]}), 404: ErrorOut},
    ),
    Operation(
        method="GET",
        path=f"{BELOW}/web-hosts",
        summary="Where its web servers are reached.",
        tag="details",
        replies={200: _object(hosts={"type": "object", "additionalProperties": {"type": "integer"}}), 404: ErrorOut},
    ),
    Operation(
        method="GET",
        path=f"{BELOW}/microagents",
        summary="The workspace's files of knowledge.",
        tag="details",
        replies={200: MicroagentsOut, 404: ErrorOut},
    ),
    Operation(
        method="GET",
        path=f"{BELOW}/remember-prompt",
        summary="A message that has the agent write down what was found out up to an event.",
        tag="details",
        query={"event_id": NUMBER},
        replies={200: PromptOut, 404: ErrorOut},
    ),
    Operation(
        method="POST",
        path=f"{BELOW}/submit-feedback",
        summary="Keep what a user thinks of it. Nothing is sent anywhere.",
        tag="details",
        body=FeedbackIn,
        replies={200: {"type": "object"}, 404: ErrorOut},
    ),
    Operation(
        method="POST",
        path=f"{BELOW}/exp-config",
        summary="Taken, and without effect.",
        tag="details",
        replies={200: TRUE, 404: ErrorOut},
    ),
)
OPERATIONS = (*LIFE, *LOGS, *FILES, *DETAILS)
REFERRED = (ConversationOut, ChangeOut, ProblemOut, FilterIn)
"""Models that operations refer to by name only."""
