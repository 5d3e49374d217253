"""The command line. Only what `--help` needs is imported here: each command is loaded when it is called."""

import importlib
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from openhands_sessions import __version__
from openhands_sessions.config.errors import ConfigError
from openhands_sessions.core.errors import BadInput, SessionsError

FAILED = 1
USAGE = 2

app = typer.Typer(
    name="openhands-sessions",
    help="Sessions of AI agents in a sandbox: talk, leave, come back, miss nothing.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
sessions = typer.Typer(help="The conversations that are kept.", rich_markup_mode=None)
config = typer.Typer(help="The configuration.", rich_markup_mode=None)
app.add_typer(sessions, name="sessions")
app.add_typer(config, name="config")

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings in TOML. Without it: the file OHS_CONFIG names, if any."),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting, such as agent.max_iterations=50. May be repeated."),
]
DataDir = Annotated[Path | None, typer.Option("--data-dir", metavar="FOLDER", help="The data folder.")]
Server = Annotated[
    str | None, typer.Option("--server", metavar="URL", help="A server. Without it: the data folder, in this process.")
]
Key = Annotated[
    str | None,
    typer.Option(
        "--session-api-key",
        metavar="KEY",
        help="The server's key. Others see a flag: OHS_SERVER__SESSION_API_KEY is the better place.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="The conversation.")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 well, 1 failed, 2 called or configured wrongly. Errors are one line on stderr."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a character shows the rest all the same
    try:
        code = app(args=None if arguments is None else list(arguments), standalone_mode=False)
    except (typer.TyperException, ConfigError, SessionsError) as error:
        code = _told(error)
    except typer.Abort:
        code = FAILED
    sys.exit(code)


def _told(error: Exception) -> int:
    problem = error.format_message() if isinstance(error, typer.TyperException) else str(error)
    print(f"error: {' '.join(problem.split())}", file=sys.stderr)
    if isinstance(error, ConfigError | BadInput):
        return USAGE
    return error.exit_code if isinstance(error, typer.TyperException) else FAILED


def _version(wanted: bool) -> None:
    if wanted:
        print(f"openhands-sessions {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", is_eager=True, callback=_version, help="Print it.")] = False,
) -> None:
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(USAGE)


@app.command()
def serve(
    *,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on; 0 takes a free one.")] = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Start the server."""
    flags = given({"--host": host, "--port": port, "--data-dir": data_dir}, settings)
    return int(_command("serve").run(flags, config_file))


@app.command()
def chat(
    *,
    server: Server = None,
    conversation: Annotated[
        str | None, typer.Option("--conversation", metavar="ID", help="Go on with this one. Without it: a new one.")
    ] = None,
    session_api_key: Key = None,
    model: Annotated[str | None, typer.Option("--model", help="The model, or scripted:NAME.")] = None,
    base_url: Annotated[
        str | None, typer.Option("--base-url", metavar="URL", help="Where the model is reached.")
    ] = None,
    agent: Annotated[str | None, typer.Option("--agent", metavar="KIND", help="default or shell.")] = None,
    confirm: Annotated[
        bool | None, typer.Option("--confirm/--no-confirm", help="Ask before every action that changes something.")
    ] = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Talk to an agent. Lines from a pipe are sent one by one, each when the turn before is over."""
    named = {
        "--session-api-key": session_api_key,
        "--model": model,
        "--base-url": base_url,
        "--agent": agent,
        "--confirm": confirm,
        "--data-dir": data_dir,
    }
    flags = given(named, settings)
    return int(_command("chat").run(flags, config_file, server=server, conversation=conversation))


@sessions.command("ls")
def sessions_ls(
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many at most.")] = 20,
    as_json: AsJson = False,
    server: Server = None,
    session_api_key: Key = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """List conversations, the newest first."""
    command = _command("sessions")
    place = command.where(given(_place(session_api_key, data_dir), settings), config_file, server)
    return int(command.ls(place, limit, as_json=as_json))


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
    command = _command("sessions")
    place = command.where(given(_place(session_api_key, data_dir), settings), config_file, server)
    return int(command.show(place, sid, as_json=as_json))


@sessions.command("export")
def sessions_export(
    sid: Id,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="A new file. Without it: standard output.")
    ] = None,
    server: Server = None,
    session_api_key: Key = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Write a conversation's events as a JSON list."""
    command = _command("sessions")
    place = command.where(given(_place(session_api_key, data_dir), settings), config_file, server)
    return int(command.export(place, sid, output))


@sessions.command("delete")
def sessions_delete(
    sids: Annotated[list[str], typer.Argument(metavar="ID...", help="The conversations.")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    server: Server = None,
    session_api_key: Key = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Delete conversations with their workspaces, for good."""
    command = _command("sessions")
    place = command.where(given(_place(session_api_key, data_dir), settings), config_file, server)
    return int(command.delete(place, sids, yes=yes))


@config.command("show")
def config_show(
    *,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Show every setting with its value and where that stands; secrets are masked."""
    return int(_command("settings").show(given({"--data-dir": data_dir}, settings), config_file, as_json=as_json))


@app.command()
def doctor(
    *,
    as_json: AsJson = False,
    host: Annotated[str | None, typer.Option("--host", help="Address to look at.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to look at.")] = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Check this machine, and say what to do where something is missing."""
    flags = given({"--host": host, "--port": port, "--data-dir": data_dir}, settings)
    return int(_command("doctor").run(flags, config_file, as_json=as_json))


@app.command()
def version(*, as_json: AsJson = False) -> int:
    """Print the version."""
    return int(_command("about").run(as_json=as_json))


def given(named: Mapping[str, object], settings: Sequence[str] | None) -> dict[str, object]:
    """The flags that were given, `--set` ones by `--set KEY`. Raises BadParameter."""
    flags = {name: value for name, value in named.items() if value is not None}
    for setting in settings or ():
        key, sign, value = setting.partition("=")
        if not sign:
            raise typer.BadParameter("a setting is given as KEY=VALUE", param_hint="--set")
        flags[f"--set {key.strip()}"] = value
    return flags


def _place(session_api_key: str | None, data_dir: Path | None) -> dict[str, object]:
    return {"--session-api-key": session_api_key, "--data-dir": data_dir}


def _command(name: str) -> Any:
    """The module that carries a command out: loading all of them would make every call slow."""
    return importlib.import_module(f"openhands_sessions.cli.{name}")
