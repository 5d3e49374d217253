"""`sessions …`, `sandbox …` and `config …` as they are called."""

from pathlib import Path
from typing import Annotated

import typer

from openhands_sessions.cli.options import AsJson, ConfigFile, DataDir, Key, Server, Settings, command, given

sessions = typer.Typer(help="The conversations that are kept.", rich_markup_mode=None)
sandbox = typer.Typer(help="The containers of conversations, where runtime.kind is docker.", rich_markup_mode=None)
config = typer.Typer(help="The configuration.", rich_markup_mode=None)

Id = Annotated[str, typer.Argument(metavar="ID", help="The conversation.")]


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
    module = command("sessions")
    place = module.where(given(_place(session_api_key, data_dir), settings), config_file, server)
    return int(module.ls(place, limit, as_json=as_json))


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
    place = module.where(given(_place(session_api_key, data_dir), settings), config_file, server)
    return int(module.show(place, sid, as_json=as_json))


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
    module = command("sessions")
    place = module.where(given(_place(session_api_key, data_dir), settings), config_file, server)
    return int(module.export(place, sid, output))


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
    module = command("sessions")
    place = module.where(given(_place(session_api_key, data_dir), settings), config_file, server)
    return int(module.delete(place, sids, yes=yes))


@sandbox.command("ls")
def sandbox_ls(
    *,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """List them, and why each is kept or goes."""
    return int(command("sandboxes").ls(given({"--data-dir": data_dir}, settings), config_file, as_json=as_json))


@sandbox.command("reap")
def sandbox_reap(
    *,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Remove those that nobody owns, now; the server does so every five minutes."""
    return int(command("sandboxes").reap(given({"--data-dir": data_dir}, settings), config_file, as_json=as_json))


@sandbox.command("clear")
def sandbox_clear(
    *,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Remove all of them, with their network and its firewall rules; workspaces stay. End the server before."""
    return int(command("sandboxes").clear(given({"--data-dir": data_dir}, settings), config_file, as_json=as_json))


@config.command("show")
def config_show(
    *,
    as_json: AsJson = False,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Show every setting with its value and where that stands; secrets are masked."""
    return int(command("settings").show(given({"--data-dir": data_dir}, settings), config_file, as_json=as_json))


def _place(session_api_key: str | None, data_dir: Path | None) -> dict[str, object]:
    return {"--session-api-key": session_api_key, "--data-dir": data_dir}
