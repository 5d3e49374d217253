"""The server's configuration: its tables, settings and defaults. `loading.py` reads it."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, StringConstraints

from openhands_sessions.config.session_key import default_data_dir, is_loopback

NO_KEYS = ("null", "undefined")
"""What web clients send without a key; therefore not allowed as keys."""

SHORTEST_ENCRYPTION_KEY = 16


def _split(value: object) -> object:
    """`a, b` as environment and flags give a list."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _absolute(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError as error:  # `~name` of a user that does not exist
        raise ValueError("not a path of this machine") from error


def _usable(key: SecretStr) -> SecretStr:
    text = key.get_secret_value()
    if text and (not text.strip() or not text.isascii() or not text.isprintable() or text in NO_KEYS):
        raise ValueError("not a usable key")
    return key


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
HostName = Annotated[str, StringConstraints(to_lower=True, pattern=r"^([A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+)$")]
HostNames = Annotated[tuple[HostName, ...], BeforeValidator(_split)]
Place = Annotated[Path, AfterValidator(_absolute)]
SessionKey = Annotated[SecretStr, AfterValidator(_usable)]
EncryptionKey = Annotated[SecretStr, Field(min_length=SHORTEST_ENCRYPTION_KEY)]


class Section(BaseModel):
    """One table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ServerSection(Section):
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(3000, ge=0, le=65_535, description="Port to listen on; 0 means any free port.")
    session_api_key: SessionKey | None = Field(
        None,
        description="Key that callers must send. If it is not set, `serve` makes one in the data folder. If it is "
        "empty, no key is needed, as with `auth.kind` = `open`. OHS_SESSION_API_KEY is a shorter name with priority.",
    )
    encryption_key: EncryptionKey | None = Field(
        None,
        description="Text that encrypts users' settings and secrets on the disk; without it they are stored in clear.",
    )
    client_dir: Place | None = Field(None, description="Folder with a built web client, which is served at /.")
    allowed_origins: Names = Field((), description="Other origins whose web pages may call.")
    allowed_hosts: HostNames = Field(
        (), description="Host names that the server answers to without a key, besides those of loopback."
    )
    max_sessions: int = Field(1_000, ge=1, description="Most sessions that may be live at once.")
    idle_timeout: float = Field(
        3_600.0, gt=0, description="Seconds until a session that is idle and that nobody follows is closed."
    )
    shutdown_grace: float = Field(20.0, gt=0, description="Seconds until a shutdown is forced.")


class AuthSection(Section):
    kind: Literal["session_key", "open"] = Field(
        "session_key",
        description="Who may call. `session_key`: callers that send `server.session_api_key`. `open`: every user and "
        "program of this machine; on loopback only.",
    )


class LimitsSection(Section):
    message_bytes: int = Field(16 * 1024 * 1024, ge=1_024, description="Largest message of a client, in bytes.")
    unfinished_bytes: int = Field(
        256 * 1024 * 1024,
        ge=1_024,
        description="Most bytes held for messages of all clients that have not arrived completely.",
    )
    messages_per_second: float = Field(
        20.0, ge=0, description="Commands that a caller may send per second, on average; 0 for no limit."
    )
    messages_burst: int = Field(40, ge=1, description="Commands that a caller may send at once.")
    creates_per_minute: float = Field(
        60.0, ge=0, description="Conversations that a caller may create per minute; 0 for no limit."
    )
    requests_per_second: float = Field(
        100.0, ge=0, description="REST requests of a caller per second, on average; 0 for no limit."
    )
    upload_bytes: int = Field(100 * 1024 * 1024, ge=1, description="Largest file of an upload, in bytes.")
    upload_files: int = Field(100, ge=1, le=10_000, description="Most files of one upload.")
    trajectory_bytes: int = Field(
        16 * 1024 * 1024, ge=1_024, description="Largest trajectory that may be replayed, in bytes."
    )
    slow_client_grace: float = Field(
        10.0, gt=0, description="Seconds until a client that reads nothing is disconnected."
    )


class StoreSection(Section):
    kind: str = Field(
        "sqlite", description="Where conversations are stored: `sqlite`, `memory`, or the name of an installed kind."
    )
    url: SecretStr | None = Field(None, description="Address of a store of an installed kind.")
    path: Place | None = Field(None, description="The database file; in the data folder if not set.")
    lease_ttl: float = Field(
        30.0, ge=1, description="Seconds until another server may take over the conversations of one that hangs."
    )
    node: str | None = Field(
        None, description="Name of this server in messages of other servers; the host's name if not set."
    )


class RuntimeSection(Section):
    kind: Literal["local", "docker"] = Field(
        "local", description="Where commands run. `local` is not isolated from the host; `docker` is."
    )
    path: Place | None = Field(None, description="Folder of the workspaces; in the data folder if not set.")
    local_repositories: bool = Field(
        False, description="Allow repositories with file:// addresses, read from inside the sandbox; for tests."
    )
    executor_idle_timeout: float = Field(
        600.0, ge=0, description="Seconds until an executor without a connection ends; 0 means never."
    )


class DockerSection(Section):
    address: str | None = Field(
        None, description="Address of the engine, `unix://…` or `tcp://…`; DOCKER_HOST or the usual place if not set."
    )
    image: str = Field(
        "openhands-sessions-python", description="Image of the sandboxes; it needs Python 3.8 or newer, and bash."
    )
    pull: bool = Field(True, description="Pull an image that the engine does not have.")
    runtime: str | None = Field(None, description="The engine's runtime, for example `runsc`; its default if not set.")
    user: int | None = Field(
        None,
        ge=1,
        le=2**31,
        description="Uid in the sandbox; if not set, that of the server, or 10001 if the server is root.",
    )
    network: Literal["egress", "none", "open"] = Field(
        "egress", description="`egress`: public addresses only; `none`: no network; `open`: all that the host reaches."
    )
    firewall_image: str = Field("openhands-sessions-base", description="Image with iptables, which sets up `egress`.")
    memory_mb: int = Field(2_048, ge=64, description="Memory of a sandbox in MiB, files in its /tmp included.")
    cpus: float = Field(2.0, gt=0, description="Processors that a sandbox may use.")
    processes: int = Field(512, ge=16, description="Most processes and threads of a sandbox.")
    open_files: int = Field(16_384, ge=256, description="Most open files of each process of a sandbox.")
    file_mb: int = Field(4_096, ge=1, description="Largest file that a sandbox may write, in MiB.")
    temporary_mb: int = Field(1_024, ge=16, description="Size of a sandbox's /tmp, in MiB.")
    workspace_mb: int = Field(
        10_240, ge=1, description="Most disk space of a sandbox (workspace, home and records), in MiB."
    )
    warm: int = Field(1, ge=0, le=100, description="Sandboxes that are started in advance, for new conversations.")
    pause_after: float = Field(600.0, gt=0, description="Seconds until an unused sandbox is paused.")
    remove_after: float = Field(
        3_600.0, gt=0, description="Seconds until the container of a paused sandbox is removed."
    )
    keep_workspace: bool = Field(True, description="Keep the workspace when the container is removed.")


class LlmSection(Section):
    model: str | None = Field(
        None,
        description="The model: a name of litellm, or `KIND:NAME` such as `scripted:NAME`. If not set, the shell agent "
        "answers.",
    )
    base_url: str | None = Field(None, description="Address of the model; its provider's own if not set.")
    api_key: SecretStr | None = Field(None, description="The provider's key.")
    timeout: float = Field(600.0, gt=0, description="Most seconds of one model call, with all its retries.")
    retries: int = Field(4, ge=0, le=20, description="How often a failed model call is repeated.")


class AgentSection(Section):
    kind: str = Field("default", description="Which agent answers: `default`, `shell`.")
    confirmation_mode: bool = Field(False, description="Ask before every action that changes something.")
    security_analyzer: Literal["llm", "rules"] | None = Field(
        None, description="What rates the risk of an action: `llm`, the model; `rules`, fixed rules too."
    )
    max_iterations: int = Field(100, ge=1, le=100_000, description="Most model calls of one turn.")
    max_budget_per_task: float | None = Field(
        None, gt=0, description="Most US dollars of one turn; no limit if not set."
    )
    condenser_max_size: int = Field(
        240, ge=20, description="Events that a model is shown before older ones are condensed."
    )
    command_timeout: float = Field(
        120.0, gt=0, description="Most seconds of a command for which the agent names no limit."
    )


class LogSection(Section):
    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least important level that is logged."
    )
    format: Literal["console", "json"] = Field("console", description="Format of a line of the log.")
    access: bool | None = Field(
        None, description="Whether every HTTP request is logged; if not set, only if `format` is `json`."
    )


class Config(BaseModel):
    """The whole configuration. `data_dir` holds everything that has no other path."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    data_dir: Place = Field(
        default_factory=default_data_dir, description="The data folder, which only its owner can read."
    )
    server: ServerSection = ServerSection()
    auth: AuthSection = AuthSection()
    limits: LimitsSection = LimitsSection()
    store: StoreSection = StoreSection()
    runtime: RuntimeSection = RuntimeSection()
    docker: DockerSection = DockerSection()
    llm: LlmSection = LlmSection()
    agent: AgentSection = AgentSection()
    log: LogSection = LogSection()

    @property
    def is_open(self) -> bool:
        """Whether callers need no key: by the kind, or by an empty key."""
        key = self.server.session_api_key
        return self.auth.kind == "open" or (key is not None and not key.get_secret_value())

    @property
    def auth_problem(self) -> str | None:
        """Why no server starts with this authentication; None where one does."""
        server = self.server
        if not self.is_open:
            return None
        if server.session_api_key is not None and server.session_api_key.get_secret_value():
            return "auth.kind is open, and server.session_api_key is set: leave one of the two out"
        if is_loopback(server.host):
            return None
        return (
            f"server.host {server.host} is reached from other machines, and without a key whoever reaches the server "
            "can run commands on this one. Leave out --no-auth, auth.kind and the empty key, or keep to 127.0.0.1"
        )
