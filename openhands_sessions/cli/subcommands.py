"""The groups of commands, such as `sessions` and `tokens`, and the options that commands share."""

import gc
import importlib
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, cast

import typer

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="File with settings, in TOML. Without it: the one that OHS_CONFIG names."
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting, such as agent.max_iterations=50. May be repeated."),
]
DataDir = Annotated[Path | None, typer.Option("--data-dir", metavar="FOLDER", help="The data folder.")]
Server = Annotated[
    str | None,
    typer.Option("--server", metavar="URL", help="A running server. Without it: this process opens the data folder."),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--session-api-key",
        metavar="KEY",
        help="The server's key. Other users can see flags: OHS_SESSION_API_KEY is safer. Without either, the key in "
        "the data folder is used, for a server on this machine.",
    ),
]
User = Annotated[
    str | None, typer.Option("--user", metavar="USER", help="Of this user; for operators. Without it: your own.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
sessions = typer.Typer(help="Stored conversations.", rich_markup_mode=None)
sandbox = typer.Typer(help="The containers of conversations, where runtime.kind is docker.", rich_markup_mode=None)
store = typer.Typer(help="The database of the data folder.", rich_markup_mode=None)
tokens = typer.Typer(help="Signed tokens of users, where auth.kind is tokens.", rich_markup_mode=None)
config = typer.Typer(help="The configuration.", rich_markup_mode=None)
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the conversation, or its beginning.")]


def given(named: Mapping[str, object], settings: Sequence[str] | None) -> dict[str, object]:
    """The given flags by name; those of `--set` by `--set KEY`. Raises BadParameter."""
    flags = {name: value for name, value in named.items() if value is not None}
    for setting in settings or ():
        key, sign, value = setting.partition("=")
        if not sign:
            raise typer.BadParameter("a setting is given as KEY=VALUE", param_hint="--set")
        flags[f"--set {key.strip()}"] = value
    return flags


UNNEEDED = {"structlog": "rich", "engineio": "requests"}
"""What a library imports if it is there, for coloured tracebacks and for a blocking client: 8 MB that we do not use."""


@cache
def _load_libraries() -> None:
    for library, unneeded in UNNEEDED.items():
        if unneeded not in sys.modules:
            sys.modules[unneeded] = cast("ModuleType", None)  # "cannot be imported"
            importlib.import_module(library)
            del sys.modules[unneeded]


def command(name: str) -> Any:
    """Import the module that carries a command out; importing all of them would slow every call."""
    # Garbage collections would take a tenth of the time, and what modules hold lives as long as the process.
    gc.disable()
    try:
        _load_libraries()
        return importlib.import_module(f"openhands_sessions.cli.{name}")
    finally:
        gc.freeze()
        gc.enable()


@sessions.command("ls")
def sessions_ls(
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, help="List at most this many.")] = 20,
    search: Annotated[
        str | None,
        typer.Option("--search", metavar="TEXT", help="Only those with this text in the title or the first message."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="As an operator: the live sessions of all users of a running server.")
    ] = False,
    as_json: AsJson = False,
    server: Server = None,
    session_api_key: Key = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """List conversations, the newest first."""
    flags = given(_place(session_api_key, data_dir), settings)
    if every:
        module = command("operator")
        return int(module.ls(module.OperatedServer(flags, config_file, server), as_json=as_json))
    module = command("sessions")
    place = module.ConversationsTarget(flags, config_file, server)
    return int(module.ls(place, limit, search=search, as_json=as_json))


@sessions.command("stop")
def sessions_stop(
    sid: Id,
    *,
    close: Annotated[bool, typer.Option("--close", help="End the session too.")] = False,
    server: Server = None,
    session_api_key: Key = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """As an operator of a running server, end the turn of any user's session."""
    module = command("operator")
    place = module.OperatedServer(given(_place(session_api_key, data_dir), settings), config_file, server)
    return int(module.stop(place, sid, close=close))


@sessions.command("show")
def sessions_show(
    sid: Id,
    *,
    as_json: AsJson = False,
    server: Server = None,
    session_api_key: Key = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Show one conversation."""
    module = command("sessions")
    place = module.ConversationsTarget(given(_place(session_api_key, data_dir), settings), config_file, server)
    return int(module.show(place, sid, as_json=as_json))


@sessions.command("history")
def sessions_history(
    sid: Id,
    *,
    undo: Annotated[bool, typer.Option("--undo", help="Take the newest turn back.")] = False,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="MESSAGE", help="Go back to before this message, by its id, or to a checkpoint."),
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option("--checkpoint", metavar="NAME", help="Name the end of the newest turn.")
    ] = None,
    switch: Annotated[
        str | None, typer.Option("--switch", metavar="BRANCH", help="Go on at the end of another branch.")
    ] = None,
    delete_branch: Annotated[
        str | None, typer.Option("--delete-branch", metavar="BRANCH", help="Take the name of another branch away.")
    ] = None,
    seed: Annotated[
        Path | None,
        typer.Option("--seed", metavar="FILE", help="Have messages of an earlier conversation summed up, from JSON."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100, help="List at most this many turns.")] = 20,
    as_json: AsJson = False,
    server: Server = None,
    session_api_key: Key = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """List the turns of a conversation, its branches and checkpoints, or go to one of them."""
    flags = given(_place(session_api_key, data_dir), settings)
    place = command("sessions").ConversationsTarget(flags, config_file, server)
    module = command("history")
    asked = module.command_of(
        undo=undo, to=to, checkpoint=checkpoint, switch=switch, delete_branch=delete_branch, seed=seed
    )
    return int(module.history(place, sid, limit, asked, as_json=as_json))


@sessions.command("share")
def sessions_share(
    sid: Id,
    *,
    user: Annotated[str | None, typer.Option("--user", metavar="USER", help="Let this user in.")] = None,
    link: Annotated[bool, typer.Option("--link", help="Print the token of a new link.")] = False,
    write: Annotated[bool, typer.Option("--write", help="To write too, not only to look.")] = False,
    hours: Annotated[float | None, typer.Option("--hours", help="How long the link counts; 24 if not given.")] = None,
    revoke: Annotated[str | None, typer.Option("--revoke", metavar="USER", help="Let this user in no more.")] = None,
    revoke_link: Annotated[
        str | None, typer.Option("--revoke-link", metavar="LINK", help="Revoke the link with this id.")
    ] = None,
    as_json: AsJson = False,
    server: Server = None,
    session_api_key: Key = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """List whom a conversation is shared with, share it, or take that back."""
    flags = given(_place(session_api_key, data_dir), settings)
    place = command("sessions").ConversationsTarget(flags, config_file, server)
    module = command("sharing")
    asked = module.ShareOptions(user=user, link=link, write=write, hours=hours, revoke=revoke, revoke_link=revoke_link)
    return int(module.share(place, sid, asked, as_json=as_json))


@sessions.command("export")
def sessions_export(
    sid: Id,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write to this new file, not to standard output.")
    ] = None,
    server: Server = None,
    session_api_key: Key = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Write a conversation as one JSON object: its events, its user and what it has cost."""
    module = command("sessions")
    place = module.ConversationsTarget(given(_place(session_api_key, data_dir), settings), config_file, server)
    return int(module.export(place, sid, output))


@sessions.command("delete")
def sessions_delete(
    sids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of conversations, or their beginnings.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    server: Server = None,
    session_api_key: Key = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Delete conversations and their workspaces. This cannot be undone."""
    module = command("sessions")
    place = module.ConversationsTarget(given(_place(session_api_key, data_dir), settings), config_file, server)
    return int(module.delete(place, sids, yes=yes))


def _add_sandbox_command(action: str, help_text: str) -> None:
    @sandbox.command(action, help=help_text)
    def run(
        *, as_json: AsJson = False, data_dir: DataDir = None, config_file: ConfigFile = None, settings: Settings = None
    ) -> int:
        flags = given({"--data-dir": data_dir}, settings)
        return int(command("data_folder").sandboxes(action, flags, config_file, as_json=as_json))


_add_sandbox_command("ls", "List the sandboxes, and why each is kept or removed.")
_add_sandbox_command(
    "reap", "Remove the sandboxes that no conversation needs, now; the server does so every five minutes."
)
_add_sandbox_command(
    "clear", "Remove all sandboxes, their network and its firewall rules; workspaces stay. Stop the server first."
)


@store.command("check")
def store_check(
    *, as_json: AsJson = False, data_dir: DataDir = None, config_file: ConfigFile = None, settings: Settings = None
) -> int:
    """Read all that is stored, and list what is damaged. Stop the server first."""
    return int(command("store").check(given({"--data-dir": data_dir}, settings), config_file, as_json=as_json))


@tokens.command("mint")
def tokens_mint(
    *,
    user: Annotated[str, typer.Option("--user", metavar="USER", help="Whose it is: the id of the user.")],
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help="user, operator or admin.")] = "user",
    hours: Annotated[float, typer.Option("--hours", help="How long it lasts.")] = 12.0,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Print a new token, signed by the first private key of auth.jwks, or else by auth.secret."""
    flags = given({"--data-dir": data_dir}, settings)
    return int(command("tokens").mint(flags, config_file, user, role, hours=hours, as_json=as_json))


@tokens.command("verify")
def tokens_verify(
    token: Annotated[
        str | None,
        typer.Argument(metavar="TOKEN", help="The token; other users can see arguments. Without it: standard input."),
    ] = None,
    *,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Say whose a token is and until when it counts, or what is wrong with it."""
    flags = given({"--data-dir": data_dir}, settings)
    return int(command("tokens").verify(flags, config_file, token, as_json=as_json))


@tokens.command("revoke")
def tokens_revoke(
    *,
    token_id: Annotated[str | None, typer.Option("--id", metavar="ID", help="The token with this id (`jti`).")] = None,
    user: Annotated[
        str | None, typer.Option("--user", metavar="USER", help="All tokens that this user has been issued by now.")
    ] = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Have tokens count no more, and end the connections that are open with them."""
    flags = given({"--data-dir": data_dir}, settings)
    return int(command("tokens").revoke(flags, config_file, token_id=token_id, user=user))


@config.command("show")
def config_show(
    *, as_json: AsJson = False, data_dir: DataDir = None, config_file: ConfigFile = None, settings: Settings = None
) -> int:
    """Show every setting with its value and where it comes from; secrets are masked."""
    return int(command("settings").show(given({"--data-dir": data_dir}, settings), config_file, as_json=as_json))


@config.command("init")
def config_init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new file.")] = Path("openhands-sessions.toml"),
) -> int:
    """Write a configuration file that lists every setting with its default, all commented out."""
    return int(command("settings").init(file))


def _place(session_api_key: str | None, data_dir: Path | None) -> dict[str, object]:
    return {"--session-api-key": session_api_key, "--data-dir": data_dir}
