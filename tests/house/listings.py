"""The settings and the commands, listed from the code for the docs and for `configs/default.toml`."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from typer.main import get_command

from openhands_sessions.cli.app import app
from openhands_sessions.config.loading import FLAGS, Setting, settings
from openhands_sessions.core.settings import SessionSettings

PROGRAM = "openhands-sessions"
UNSET = {"data_dir": "~/.local/share/openhands-sessions"}
"""Defaults that depend on the machine, as they are on Linux."""
EXAMPLES = UNSET | {"agent.max_budget_per_task": 5.0}
"""What stands in the file, not in force, for a setting that is not set."""
TOP = """\
# Every setting with its default; lines that begin with "# " and a key are not set.
# Drawn from the code: python -m tests.house.figures
#
# Use it with --config or OHS_CONFIG. The variable named with each setting overrides
# the file, and a flag overrides the variable.
"""


def default_toml() -> str:
    """`configs/default.toml`: what is in it changes nothing."""
    lines = [TOP.rstrip()]
    for table, members in _tables():
        if table:
            lines += ["", f"[{table}]"]
        for setting in members:
            name = setting.key.rpartition(".")[2]
            value = EXAMPLES.get(setting.key, "…") if setting.default is None else setting.default
            mark = "# " if setting.default is None else ""
            lines += ["", f"# {setting.description}"]
            lines += [f"# {_capital(setting.rule)}; {setting.variable}", f"{mark}{name} = {_toml(value)}"]
    return "\n".join(lines) + "\n"


def settings_tables() -> str:
    """A table for each table of the file."""
    flags = {key: flag for flag, key in FLAGS.items()}
    parts = []
    for table, members in _tables():
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
        f"| `{name}` | {'not set' if field.default is None else f'`{_toml(field.default)}`'} | {field.description} |"
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


def _tables() -> Iterator[tuple[str, list[Setting]]]:
    for table, members in groupby(settings().values(), lambda setting: setting.key.rpartition(".")[0]):
        yield table, list(members)


def _cell(setting: Setting) -> str:
    if setting.default is None:
        return f"`{UNSET[setting.key]}`" if setting.key in UNSET else "not set"
    return f"`{_toml(setting.default)}`"


def _toml(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case _:
            return str(value)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
