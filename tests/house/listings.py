"""The settings and the commands, listed from the code for the docs."""

from collections.abc import Iterator, Mapping
from typing import Any

from typer.main import get_command

from openhands_sessions.cli.app import app
from openhands_sessions.config.loading import FLAGS, Setting
from openhands_sessions.config.template import UNSET, tables, toml
from openhands_sessions.core.settings import SessionSettings

PROGRAM = "openhands-sessions"


def settings_tables() -> str:
    """A table for each table of the file."""
    flags = {key: flag for flag, key in FLAGS.items()}
    parts = []
    for table, members in tables():
        rows = [
            f"| `{each.key}` | {_cell(each)} | {each.rule} | `{each.variable}`"
            f"{f', `{flags[each.key]}`' if each.key in flags else ''} | {each.description} |"
            for each in members
        ]
        parts += [
            f"## {f'`[{table}]`' if table else 'At the top'}",
            "",
            "| setting | default | a value is | also given by | what for |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    return "\n".join(parts).rstrip()


def conversation_settings() -> str:
    """The settings that belong to a conversation."""
    fields = SessionSettings.model_fields
    rows = [
        f"| `{name}` | {'not set' if field.default is None else f'`{toml(field.default)}`'} | {field.description} |"
        for name, field in fields.items()
    ]
    return "\n".join(["| setting | default | what for |", "|---|---|---|", *rows])


def commands() -> str:
    """Every command with its arguments and options."""
    return "\n\n".join(_command(path, command) for path, command in walk(PROGRAM, get_command(app)))


def walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Each command that does something, with the words that call it."""
    below: Mapping[str, Any] = getattr(command, "commands", {})
    if not below or command.invoke_without_command:
        yield path, command
    for name, each in below.items():
        yield from walk(f"{path} {name}", each)


def _command(path: str, command: Any) -> str:
    rows = [f"| `{_call(each)}` | {each.help} |" for each in command.params if each.help and not _is_help(each)]
    table = ["", "| | |", "|---|---|", *rows] if rows else []
    return "\n".join([f"## `{path}`", "", command.help or "", *table])


def _call(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar)
    names = ", ".join([*parameter.opts, *parameter.secondary_opts])
    return names if parameter.is_flag else f"{names} {parameter.metavar or parameter.name.upper()}"


def _is_help(parameter: Any) -> bool:
    return "--help" in parameter.opts


def _cell(setting: Setting) -> str:
    if setting.default is None:
        return f"`{UNSET[setting.key]}`" if setting.key in UNSET else "not set"
    return f"`{toml(setting.default)}`"
