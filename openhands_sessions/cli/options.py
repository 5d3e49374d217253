"""The options that commands share, and how a command is loaded."""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

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


def given(named: Mapping[str, object], settings: Sequence[str] | None) -> dict[str, object]:
    """The flags that were given, `--set` ones by `--set KEY`. Raises BadParameter."""
    flags = {name: value for name, value in named.items() if value is not None}
    for setting in settings or ():
        key, sign, value = setting.partition("=")
        if not sign:
            raise typer.BadParameter("a setting is given as KEY=VALUE", param_hint="--set")
        flags[f"--set {key.strip()}"] = value
    return flags


def command(name: str) -> Any:
    """The module that carries a command out: loading all of them would make every call slow."""
    return importlib.import_module(f"openhands_sessions.cli.{name}")
