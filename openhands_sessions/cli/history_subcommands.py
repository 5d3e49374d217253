"""The commands `sessions fork`, `sessions merge`, `sessions diff`, `sessions checkpoint` and `sessions restore`."""

from typing import Annotated, Any

import typer

from openhands_sessions.cli.subcommands import AsJson, ConfigFile, DataDir, Id, Key, Server, Settings, command, given

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of a checkpoint.")]


def sessions_fork(
    sid: Id,
    *,
    new_id: Annotated[str | None, typer.Option("--id", metavar="ID", help="The id of the new conversation.")] = None,
    event: Annotated[
        int | None, typer.Option("--event", min=0, help="Copy up to this event, between two turns.")
    ] = None,
    checkpoint: Annotated[
        str | None, typer.Option("--checkpoint", metavar="NAME", help="Copy up to this checkpoint.")
    ] = None,
    title: Annotated[str | None, typer.Option("--title", metavar="TEXT", help="The title of the new one.")] = None,
    as_json: AsJson = False,
    server: Server = None,
    session_api_key: Key = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Make a conversation that goes on from a copy of this one's dialogue, and print its id."""
    place = _place(session_api_key, data_dir, config_file, server, settings)
    return int(command("forking").fork(place, sid, new_id, event, checkpoint, title=title, as_json=as_json))


def sessions_checkpoint(
    sid: Id,
    name: Name,
    *,
    description: Annotated[str, typer.Option("--description", metavar="TEXT", help="What the place is for.")] = "",
    as_json: AsJson = False,
    server: Server = None,
    session_api_key: Key = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Name the end of a conversation's newest turn."""
    place = _place(session_api_key, data_dir, config_file, server, settings)
    module = command("history")
    asked = module.CreateCheckpoint(name=name, description=description)
    return int(module.history(place, sid, 1, asked, as_json=as_json))


def sessions_restore(
    sid: Id,
    name: Name,
    *,
    branch: Annotated[
        str | None, typer.Option("--branch", metavar="NAME", help="What the dialogue that is left is called.")
    ] = None,
    as_json: AsJson = False,
    server: Server = None,
    session_api_key: Key = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Go on from a checkpoint. Nothing is erased: what is left is a branch."""
    place = _place(session_api_key, data_dir, config_file, server, settings)
    module = command("history")
    return int(module.history(place, sid, 1, module.GoBack(checkpoint=name, branch=branch), as_json=as_json))


def sessions_merge(
    sid: Id,
    other: Annotated[
        str | None,
        typer.Argument(metavar="OTHER", help="Another conversation that began alike: a fork, or its source."),
    ] = None,
    *,
    branch: Annotated[
        str | None, typer.Option("--branch", metavar="NAME", help="Merge this branch, of the other one if it is given.")
    ] = None,
    left: Annotated[
        str | None, typer.Option("--left", metavar="NAME", help="What the dialogue that is left is called.")
    ] = None,
    as_json: AsJson = False,
    server: Server = None,
    session_api_key: Key = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """Go on with the turns of two dialogues that began alike."""
    place = _place(session_api_key, data_dir, config_file, server, settings)
    return int(command("forking").merge(place, sid, other, branch, left=left, as_json=as_json))


def sessions_diff(
    sid: Id,
    other: Annotated[str | None, typer.Argument(metavar="OTHER", help="Another conversation that began alike.")] = None,
    *,
    branch: Annotated[
        str | None,
        typer.Option("--branch", metavar="NAME", help="Compare with this branch, of the other one if given."),
    ] = None,
    as_json: AsJson = False,
    server: Server = None,
    session_api_key: Key = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
    settings: Settings = None,
) -> int:
    """List the turns that only one of two dialogues has."""
    place = _place(session_api_key, data_dir, config_file, server, settings)
    return int(command("forking").diff(place, sid, other, branch, as_json=as_json))


def _place(key: str | None, data_dir: Any, file: Any, server: str | None, settings: Any) -> Any:
    """Where the conversations are."""
    flags = given({"--session-api-key": key, "--data-dir": data_dir}, settings)
    return command("sessions").ConversationsTarget(flags, file, server)
