"""The routes of users: settings, secrets, options, git providers; and of the server itself."""

from openhands_sessions.core.user_settings import UserSettings
from openhands_sessions.server.schema.operations import NAMES, NOTHING, TEXT, Operation, Schema
from openhands_sessions.server.schema.replies import (
    ClientConfigOut,
    ErrorOut,
    MessageOut,
    ProblemOut,
    SecretsOut,
    SettingsOut,
)
from openhands_sessions.server.wire_settings import ProvidersIn, SecretChangeIn, SecretIn

ANY_OBJECT: Schema = {"type": "object"}
ANY_LIST: Schema = {"type": "array"}
PROVIDER = "git providers"


def _asking(path: str, summary: str, found: Schema) -> Operation:
    """A question about what a git provider knows: 401 without a token, empty with one."""
    return Operation(
        method="GET", path=f"/api/user/{path}", summary=summary, tag=PROVIDER, replies={200: found, 401: TEXT}
    )


SETTINGS = (
    Operation(
        method="GET",
        path="/api/settings",
        summary="The caller's settings, without keys; 404 before the first store.",
        tag="settings",
        replies={200: SettingsOut, 404: ProblemOut},
    ),
    Operation(
        method="POST",
        path="/api/settings",
        summary="Store settings. Keys, the model, its address and the consent stay where they are left out; the rest "
        "goes to its default.",
        tag="settings",
        body=UserSettings,
        replies={200: MessageOut},
    ),
    Operation(
        method="POST",
        path="/api/reset-settings",
        summary="Gone: store what is wanted instead.",
        tag="settings",
        replies={410: ProblemOut},
    ),
    Operation(
        method="GET",
        path="/api/secrets",
        summary="The names of the caller's secrets.",
        tag="secrets",
        replies={200: SecretsOut},
    ),
    Operation(
        method="POST",
        path="/api/secrets",
        summary="Keep a secret, for the environment of the caller's sandboxes.",
        tag="secrets",
        body=SecretIn,
        replies={201: MessageOut, 400: MessageOut},
    ),
    Operation(
        method="PUT",
        path="/api/secrets/{name}",
        summary="Give a secret another name or description.",
        tag="secrets",
        body=SecretChangeIn,
        replies={200: MessageOut, 400: MessageOut, 404: ProblemOut},
    ),
    Operation(
        method="DELETE",
        path="/api/secrets/{name}",
        summary="Delete a secret.",
        tag="secrets",
        replies={200: MessageOut, 404: ProblemOut},
    ),
)
PROVIDERS = (
    Operation(
        method="POST",
        path="/api/add-git-providers",
        summary="Keep tokens of git providers. They are shown to nobody, and used for nothing yet.",
        tag=PROVIDER,
        body=ProvidersIn,
        replies={200: MessageOut},
    ),
    Operation(
        method="POST",
        path="/api/unset-provider-tokens",
        summary="Delete every token.",
        tag=PROVIDER,
        replies={200: MessageOut},
    ),
    _asking("info", "Who the user is.", ANY_OBJECT),
    _asking("repositories", "The user's repositories.", ANY_LIST),
    _asking("search/repositories", "Repositories by name.", ANY_LIST),
    _asking("search/branches", "Branches by name.", ANY_LIST),
    _asking("repository/branches", "A page of a repository's branches.", ANY_OBJECT),
    _asking("installations", "Where the provider's app is installed.", ANY_LIST),
    _asking("suggested-tasks", "What could be done.", ANY_LIST),
    _asking("repository/{name}/microagents", "A repository's files of knowledge.", ANY_LIST),
    Operation(
        method="GET",
        path="/api/user/repository/{name}/microagents/content",
        summary="One of them.",
        tag=PROVIDER,
        replies={401: TEXT, 404: ErrorOut},
    ),
)
OPTIONS = (
    Operation(
        method="GET",
        path="/api/options/config",
        summary="How the web client is to behave.",
        tag="options",
        replies={200: ClientConfigOut},
    ),
    *(
        Operation(method="GET", path=f"/api/options/{name}", summary=summary, tag="options", replies={200: NAMES})
        for name, summary in (
            ("models", "Models by litellm's names."),
            ("agents", "Agents."),
            ("security-analyzers", "What grades actions."),
        )
    ),
)
SERVER = (
    Operation(method="GET", path="/alive", summary="Is the process alive?", tag="server"),
    Operation(method="GET", path="/health", summary="The same, in a word.", tag="server", replies={200: TEXT}),
    Operation(method="GET", path="/health/live", summary="Is the process alive?", tag="server"),
    Operation(
        method="GET",
        path="/health/ready",
        summary="Does it take new work?",
        tag="server",
        replies={200: ANY_OBJECT, 503: ANY_OBJECT},
    ),
    Operation(method="GET", path="/server_info", summary="What it is, and what it uses.", tag="server"),
    Operation(method="GET", path="/api/openapi.json", summary="This document.", tag="server"),
    Operation(method="GET", path="/api/socket.schema.json", summary="What goes over the socket.", tag="server"),
    Operation(
        method="GET",
        path="/api/docs",
        summary="This document, for people.",
        tag="server",
        replies={200: NOTHING},
        media="text/html",
    ),
)
OPERATIONS = (*SETTINGS, *PROVIDERS, *OPTIONS, *SERVER)
