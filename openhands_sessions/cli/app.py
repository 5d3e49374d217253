"""The command line. It imports only what `--help` needs; each command's module is loaded when it is called."""

import io
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from openhands_sessions import __version__
from openhands_sessions.cli.budget_subcommand import sessions_budget
from openhands_sessions.cli.feedback_subcommand import sessions_feedback
from openhands_sessions.cli.history_subcommands import (
    sessions_checkpoint,
    sessions_diff,
    sessions_fork,
    sessions_merge,
    sessions_restore,
)
from openhands_sessions.cli.subcommands import (
    AsJson,
    ConfigFile,
    DataDir,
    Key,
    Server,
    Settings,
    User,
    command,
    config,
    given,
    sandbox,
    sessions,
    store,
    tokens,
)
from openhands_sessions.config.errors import ConfigError
from openhands_sessions.core.errors import BadInput, SessionsError

FAILED = 1
USAGE = 2

app = typer.Typer(
    name="openhands-sessions",
    help="Sessions of AI agents in a sandbox: talk, leave, and come back without missing anything.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
sessions.command("budget")(sessions_budget)
sessions.command("fork")(sessions_fork)
sessions.command("merge")(sessions_merge)
sessions.command("diff")(sessions_diff)
sessions.command("checkpoint")(sessions_checkpoint)
sessions.command("restore")(sessions_restore)
sessions.command("feedback")(sessions_feedback)
app.add_typer(sessions, name="sessions")
app.add_typer(sandbox, name="sandbox")
app.add_typer(store, name="store")
app.add_typer(tokens, name="tokens")
app.add_typer(config, name="config")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 well, 1 failed, 2 called or configured wrongly. Errors are one line on stderr."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a character shows the rest all the same
    try:
        code = app(args=None if arguments is None else list(arguments), standalone_mode=False)
    except (typer.TyperException, ConfigError, SessionsError) as error:
        code = _print_error(error)
    except typer.Abort:
        code = FAILED
    sys.exit(code)


def _print_error(error: Exception) -> int:
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
    port: Annotated[int | None, typer.Option("--port", help="Port to listen on; 0 means any free port.")] = None,
    no_auth: Annotated[
        bool,
        typer.Option(
            "--no-auth",
            help="Ask for no key, so that every user and program of this machine can call; on loopback only.",
        ),
    ] = False,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Start the server."""
    auth = "open" if no_auth else None
    flags = given({"--host": host, "--port": port, "--no-auth": auth, "--data-dir": data_dir}, settings)
    return int(command("serve").run(flags, config_file))


@app.command("login-url")
def login_url(
    *,
    server: Annotated[
        str | None,
        typer.Option("--server", metavar="URL", help="The server. Without it: the address in the configuration."),
    ] = None,
    port: Annotated[int | None, typer.Option("--port", help="Its port on this machine.")] = None,
    session_api_key: Key = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Print a link that logs a browser in at a server. It works once, for 15 minutes."""
    named = {"--port": port, "--session-api-key": session_api_key, "--data-dir": data_dir}
    return int(command("keys").login_url(given(named, settings), config_file, server))


Seed = Annotated[
    Path | None,
    typer.Option("--seed", metavar="FILE", help="Begin from earlier messages, in JSON, which are summed up."),
]


@app.command()
def chat(
    *,
    server: Server = None,
    conversation: Annotated[
        str | None,
        typer.Option("--conversation", metavar="ID", help="Continue this one: its id, or the beginning of it."),
    ] = None,
    message: Annotated[
        str | None, typer.Option("-m", "--message", metavar="TEXT", help="Send this, print the answer, and exit.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="With one message: print each event as a line of JSON.")
    ] = False,
    seed: Seed = None,
    session_api_key: Key = None,
    model: Annotated[str | None, typer.Option("--model", help="The model, or scripted:NAME.")] = None,
    base_url: Annotated[
        str | None, typer.Option("--base-url", metavar="URL", help="Address of the model's provider.")
    ] = None,
    agent: Annotated[str | None, typer.Option("--agent", metavar="KIND", help="The agent: default or shell.")] = None,
    confirm: Annotated[
        bool | None, typer.Option("--confirm/--no-confirm", help="Ask before every action that changes something.")
    ] = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Talk to an agent. Input from a pipe or file is sent as one message; with -m, after that text."""
    named = {
        "--session-api-key": session_api_key,
        "--model": model,
        "--base-url": base_url,
        "--agent": agent,
        "--confirm": confirm,
        "--data-dir": data_dir,
    }
    flags = given(named, settings)
    module = command("chat")
    options = module.ChatOptions(server=server, conversation=conversation, message=message, as_json=as_json, seed=seed)
    return int(module.run(flags, config_file, options))


@app.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where OpenHands keeps its files: ~/.openhands.")],
    *,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Copy the conversations of an OpenHands 0.62. You may repeat it: no conversation or event is copied twice."""
    return int(command("data_folder").import_folder(given({"--data-dir": data_dir}, settings), config_file, folder))


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The new folder, outside of the data folder.")],
    *,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Copy all that the server keeps into a new folder. The server may run."""
    return int(command("backup").back_up(given({"--data-dir": data_dir}, settings), config_file, folder))


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What `backup` has made.")],
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Move what is in the data folder aside, where there is something.")
    ] = False,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Put a backup into the data folder. Stop the server first."""
    flags = given({"--data-dir": data_dir}, settings)
    return int(command("backup").restore(flags, config_file, folder, replace=replace))


@app.command()
def doctor(
    *,
    as_json: AsJson = False,
    host: Annotated[str | None, typer.Option("--host", help="Address to check.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port to check.")] = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Check this machine and the configuration, and say how to fix what is wrong."""
    flags = given({"--host": host, "--port": port, "--data-dir": data_dir}, settings)
    return int(command("doctor").run(flags, config_file, as_json=as_json))


@app.command()
def usage(
    *,
    user: User = None,
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="Of so many days, UTC, today included.")] = 1,
    as_json: AsJson = False,
    server: Server = None,
    session_api_key: Key = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Show what model calls have used, by day, model and purpose."""
    flags = given({"--session-api-key": session_api_key, "--data-dir": data_dir}, settings)
    module = command("usage")
    return int(module.usage(module.ConversationsTarget(flags, config_file, server), user, days, as_json=as_json))


@app.command()
def quota(
    *,
    user: User = None,
    as_json: AsJson = False,
    server: Server = None,
    session_api_key: Key = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Show how much of today's quotas is taken, and when they begin anew."""
    flags = given({"--session-api-key": session_api_key, "--data-dir": data_dir}, settings)
    module = command("usage")
    return int(module.quota(module.ConversationsTarget(flags, config_file, server), user, as_json=as_json))


@app.command()
def version(*, as_json: AsJson = False) -> int:
    """Print the version."""
    if as_json:
        print(json.dumps({"version": __version__, "python": platform.python_version()}))
    else:
        print(f"openhands-sessions {__version__} (Python {platform.python_version()})")
    return 0
