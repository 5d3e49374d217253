"""The command `sessions budget`."""

from typing import Annotated

import typer

from openhands_sessions.cli.subcommands import AsJson, ConfigFile, DataDir, Id, Key, Server, Settings, command, given


def sessions_budget(
    sid: Id,
    amount: Annotated[
        str | None, typer.Argument(metavar="DOLLARS", help="US dollars, or off. Without it: show the budget.")
    ] = None,
    *,
    as_json: AsJson = False,
    server: Server = None,
    session_api_key: Key = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Show or set what calls with a known price may cost without a question."""
    flags = given({"--session-api-key": session_api_key, "--data-dir": data_dir}, settings)
    place = command("sessions").ConversationsTarget(flags, config_file, server)
    return int(command("budget").budget(place, sid, amount, as_json=as_json))
