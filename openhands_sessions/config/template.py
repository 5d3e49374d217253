"""A configuration file to start from: every setting, commented out. `config init` writes it."""

from collections.abc import Iterator
from itertools import groupby

from openhands_sessions.config.loading import Setting, settings

UNSET = {"data_dir": "~/.local/share/openhands-sessions"}
"""Defaults that depend on the machine, as they are on Linux."""
_EXAMPLES = UNSET | {"agent.max_budget_per_task": 5.0}
"""What stands in the file for a setting that has no default."""
_TOP = """\
# Settings of openhands-sessions. Every line that begins with "#" and a key shows a
# setting with its default, or an example: remove the "#" and change the value.
#
# Use the file with --config or OHS_CONFIG. The variable named with each setting
# overrides the file, and a flag overrides the variable.
"""


def template() -> str:
    """The file's text, in TOML; as it is, it changes nothing."""
    lines = [_TOP.rstrip()]
    for table, members in tables():
        if table:
            lines += ["", f"[{table}]"]
        for setting in members:
            name = setting.key.rpartition(".")[2]
            value = _EXAMPLES.get(setting.key, "…") if setting.default is None else setting.default
            rule = setting.rule[:1].upper() + setting.rule[1:]
            lines += ["", f"# {setting.description}", f"# {rule}; {setting.variable}", f"#{name} = {toml(value)}"]
    return "\n".join(lines) + "\n"


def tables() -> Iterator[tuple[str, list[Setting]]]:
    """The settings of each table; those at the top have the name \"\"."""
    for table, members in groupby(settings().values(), lambda setting: setting.key.rpartition(".")[0]):
        yield table, list(members)


def toml(value: object) -> str:
    """A value as the file has it."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case _:
            return str(value)
