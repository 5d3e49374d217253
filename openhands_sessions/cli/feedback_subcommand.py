"""The command `sessions feedback`."""

from typing import Annotated

import typer

from openhands_sessions.cli.subcommands import AsJson, ConfigFile, DataDir, Id, Key, Server, Settings, command, given


def sessions_feedback(
    sid: Id,
    kind: Annotated[
        str,
        typer.Argument(metavar="KIND", help="Of an answer, up or down; of the task, outcome_success or outcome_fail."),
    ],
    *,
    about: Annotated[
        int | None,
        typer.Option("--about", metavar="EVENT", min=0, help="The event. Without it: the conversation so far."),
    ] = None,
    comment: Annotated[str, typer.Option("--comment", metavar="TEXT", help="Why.")] = "",
    as_json: AsJson = False,
    server: Server = None,
    session_api_key: Key = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Say what you think of an answer, or whether the task is done. The agent is not told."""
    flags = given({"--session-api-key": session_api_key, "--data-dir": data_dir}, settings)
    place = command("sessions").ConversationsTarget(flags, config_file, server)
    said = command("feedback").feedback_command(kind, about, comment)
    return int(command("feedback").feedback(place, sid, said, as_json=as_json))
