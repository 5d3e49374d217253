"""The server's configuration: its tables, settings and defaults. `loading.py` reads it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from openhands_sessions.config.audit_section import AuditSection
from openhands_sessions.config.docker_section import DockerSection
from openhands_sessions.config.lists import Prices, Quotas, Rules
from openhands_sessions.config.section import Section
from openhands_sessions.config.session_key import default_data_dir, is_loopback
from openhands_sessions.config.telemetry_section import TelemetrySection
from openhands_sessions.config.trajectories_section import TrajectoriesSection
from openhands_sessions.config.values import (
    BasePath,
    EncryptionKey,
    HeaderName,
    HostNames,
    MetricsKey,
    Names,
    Networks,
    Place,
    SessionKey,
    TokenSecret,
)


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
    base_path: BasePath = Field(
        "",
        description="Path below which everything is served, such as `/agents`, behind a proxy that passes the path on "
        "unchanged.",
    )
    tls_certificate: Place | None = Field(
        None,
        description="PEM file with the server's certificate and those above it. With it, the server speaks HTTPS only; "
        "it is read again when it changes.",
    )
    tls_key: Place | None = Field(None, description="PEM file with the certificate's key, without a passphrase.")
    client_dir: Place | None = Field(None, description="Folder with a built web client, which is served at /.")
    allowed_origins: Names = Field((), description="Other origins whose web pages may call.")
    allowed_hosts: HostNames = Field(
        (), description="Host names that the server answers to without a key, besides those of loopback."
    )
    trusted_proxies: Networks = Field(
        (),
        description="Addresses or networks of proxies in front of the server. `X-Forwarded-For`, `-Proto` and "
        "`-Host` are believed in requests from these addresses, and ignored in all others.",
    )
    max_sessions: int = Field(1_000, ge=1, description="Most sessions that may be live at once.")
    max_sessions_per_user: int = Field(
        10, ge=1, description="Most live sessions of one user, where `auth.kind` tells users apart."
    )
    max_sessions_per_address: int = Field(
        50,
        ge=1,
        description="Most live sessions that were opened from one address, where `auth.kind` tells users apart.",
    )
    max_conversations_per_user: int = Field(
        100_000, ge=1, description="Most stored conversations of one user, live or not."
    )
    max_stored_bytes_per_user: int = Field(
        20 * 1024**3,
        ge=1,
        description="Bytes of events and of first inputs that the conversations of one user may have stored before "
        "a new one is refused.",
    )
    idle_timeout: float = Field(3_600.0, gt=0, description="Seconds until an idle session without followers is closed.")
    shutdown_grace: float = Field(20.0, gt=0, description="Seconds until a shutdown is forced.")


class AuthSection(Section):
    kind: Literal["session_key", "open", "tokens", "trusted_header"] = Field(
        "session_key",
        description="Who may call. `session_key`: callers that send `server.session_api_key`. `open`: every user and "
        "program of this machine; on loopback only. `tokens`: users with a signed token. `trusted_header`: users whom "
        "a proxy in front of the server names.",
    )
    secret: TokenSecret | None = Field(
        None, description="With `tokens`: the secret that signs and verifies tokens without a `kid`, by HS256."
    )
    jwks: Place | None = Field(
        None,
        description="With `tokens`: a JWKS file with the keys of tokens, by their `kid`. It is read again when it "
        "changes.",
    )
    issuer: str | None = Field(None, description="With `tokens`: the `iss` that tokens must have.")
    audience: str | None = Field(None, description="With `tokens`: the `aud` that tokens must have.")
    leeway: float = Field(
        0.0, ge=0, le=300, description="With `tokens`: seconds by which the clock of who issues them may differ."
    )
    proxies: Networks = Field(
        (),
        description="With `trusted_header`: addresses or networks of the proxies whose header is believed. Others are "
        "refused.",
    )
    header: HeaderName = Field(
        "X-Forwarded-User", description="With `trusted_header`: the header in which the proxy names the user."
    )
    role_header: HeaderName | None = Field(
        None,
        description="With `trusted_header`: the header in which the proxy names the role, `user`, `operator` or "
        "`admin`; everybody is a user if not set.",
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
    authentication_timeout: float = Field(
        10.0,
        gt=0,
        description="Seconds that a connection has to authenticate. Only time in which the server waits for "
        "the client counts: for the rest of a request, or for the packet that connects to a namespace.",
    )
    failed_logins_per_minute: float = Field(
        20.0,
        ge=0,
        description="Wrong keys, tokens and logins that one address may show at once, and per minute; 0 for no limit. "
        "Loopback and trusted proxies are exempt; behind a trusted proxy, the caller's address counts.",
    )
    unauthenticated_connections: int = Field(
        10_000,
        ge=1,
        description="Most connections that have not authenticated; at most three eighths of the files that the server "
        "may open.",
    )
    unauthenticated_per_address: int = Field(
        200,
        ge=1,
        description="Most connections of one address that have not authenticated. Loopback and trusted proxies are "
        "exempt; behind a trusted proxy, the caller's address counts.",
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
        600.0,
        ge=0,
        description="Seconds until an executor without a connection ends; a tenth of them where less than a quarter of "
        "the machine's memory is available when its connection ends; 0 means never.",
    )


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
    confirmation_rules: Rules = Field(
        (),
        description="Rules by which calls of the agent run, wait for an answer, or are refused: the first that matches "
        "counts. Those of users and requests come before these.",
    )
    approval_timeout: float = Field(
        0.0, ge=0, description="Seconds after which calls that await an answer are rejected; 0 for never."
    )
    call_prices: Prices = Field(
        (),
        description="What calls of the agent cost at most, for auto-approval budgets: the first that matches counts. "
        "Those of users and requests come before these.",
    )
    auto_approval_budget: float = Field(
        0.0,
        ge=0,
        le=1_000_000,
        allow_inf_nan=False,
        description="US dollars that calls with a known price may cost without a question, in all, in a conversation "
        "that begins with this setting; 0 turns it off.",
    )
    spending_pause_at: float = Field(
        5.0,
        ge=0,
        le=1_000_000,
        allow_inf_nan=False,
        description="US dollars of model calls at which a conversation pauses and asks whether to go on, and asks "
        "again each time the cost has doubled; 0 for never.",
    )
    max_iterations: int = Field(100, ge=1, le=100_000, description="Most model calls of one turn.")
    max_parallel_calls: int = Field(1, ge=1, le=16, description="Most read-only calls of a reply that run at once.")
    max_budget_per_task: float | None = Field(
        None, gt=0, description="Most US dollars of one turn; no limit if not set."
    )
    condenser_max_size: int = Field(
        240, ge=20, description="Events that a model is shown before older ones are condensed."
    )
    command_timeout: float = Field(
        120.0, gt=0, description="Most seconds of a command for which the agent names no limit."
    )
    progress_notice: float = Field(
        60.0,
        ge=0,
        description="Seconds without an event or a delta after which a turn says what it waits for; 0 means never.",
    )


class MetricsSection(Section):
    key: MetricsKey | None = Field(
        None, description="Key with which a program may read `/metrics`, and nothing else. Operators may without it."
    )
    allow: Networks = Field((), description="Addresses or networks that may read `/metrics` without a key.")


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
    quotas: Quotas = Field(
        (),
        description="What the model calls of one user may take on one day, UTC. A call counts for every quota whose "
        "`models`, a pattern with `*`, matches its model.",
    )
    server: ServerSection = ServerSection()
    auth: AuthSection = AuthSection()
    limits: LimitsSection = LimitsSection()
    store: StoreSection = StoreSection()
    runtime: RuntimeSection = RuntimeSection()
    docker: DockerSection = DockerSection()
    llm: LlmSection = LlmSection()
    agent: AgentSection = AgentSection()
    metrics: MetricsSection = MetricsSection()
    log: LogSection = LogSection()
    audit: AuditSection = AuditSection()
    telemetry: TelemetrySection = TelemetrySection()
    trajectories: TrajectoriesSection = TrajectoriesSection()

    @property
    def is_open(self) -> bool:
        """Whether callers need no key: by the kind, or by an empty key."""
        key = self.server.session_api_key
        by_key = self.auth.kind == "session_key"
        return self.auth.kind == "open" or (by_key and key is not None and not key.get_secret_value())

    @property
    def makes_key(self) -> bool:
        """Whether the server makes its session key itself."""
        return self.auth.kind == "session_key" and self.server.session_api_key is None

    @property
    def tells_users_apart(self) -> bool:
        """Whether callers are different users."""
        return self.auth.kind not in ("session_key", "open")

    @property
    def auth_problem(self) -> str | None:
        """Why no server starts with this authentication; None where one does."""
        server, auth = self.server, self.auth
        has_key = server.session_api_key is not None and bool(server.session_api_key.get_secret_value())
        if auth.kind != "session_key" and has_key:
            return f"auth.kind is {auth.kind}, and server.session_api_key is set: leave one of the two out"
        if auth.kind == "tokens" and auth.secret is None and auth.jwks is None:
            return "auth.kind is tokens, which are verified by auth.secret or the keys of auth.jwks: set one of the two"
        if auth.kind == "trusted_header" and not auth.proxies:
            return (
                "auth.kind is trusted_header, and no proxy is trusted: set auth.proxies to the addresses from which "
                "your proxy connects"
            )
        if not self.is_open or is_loopback(server.host):
            return None
        return (
            f"server.host {server.host} is reached from other machines, and without a key anyone who reaches the "
            "server can run commands on this one. Leave out --no-auth, auth.kind and the empty key, or keep to "
            "127.0.0.1"
        )
