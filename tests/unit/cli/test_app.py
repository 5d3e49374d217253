"""The root of the command line: quick, and exact about what went wrong."""

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from openhands_sessions import __version__
from openhands_sessions.cli.app import main
from openhands_sessions.cli.chat import conversation_settings
from openhands_sessions.cli.output import columns
from openhands_sessions.cli.settings import secrets, shown
from openhands_sessions.cli.subcommands import given
from openhands_sessions.config.loading import load

SLOW = (
    "litellm",
    "aiohttp",
    "socketio",
    "rich",
    "prompt_toolkit",
    "pydantic",
    "structlog",
    "openhands_sessions.bootstrap",
)


def called(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_the_root_loads_nothing_that_is_slow() -> None:
    probe = f"import sys, openhands_sessions.cli.app; print([name for name in {SLOW!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=20)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("wanted", [("--version",), ("version",), ("version", "--json")])
def test_the_version_is_told(wanted: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert called(*wanted) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("serve", "--prot", "1"), "error: No such option: --prot"),
        (("serve", "--port", "eighty"), "error: Invalid value for '--port'"),
        (("serve", "--port", "70000"), "error: --port: server.port must be a whole number from 0 to 65535"),
        (("serve", "--set", "server.port"), "error: Invalid value for --set: a setting is given as KEY=VALUE"),
        (("serve", "--set", "sever.port=1"), "error: --set sever.port: there is no setting"),
        (("serve", "--config", "/nowhere.toml"), "error: /nowhere.toml: the file cannot be read: No such file"),
        (("serve", "--host", "0.0.0.0", "--no-auth"), "error: --no-auth: server.host 0.0.0.0 is reached from other"),
        (("sessions",), "error: Missing command."),
        (("dance",), "error: No such command 'dance'."),
        (("sessions", "show"), "error: Missing argument 'ID'."),
        (("config", "show", "surplus"), "error: Got unexpected extra argument"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_one_line_on_stderr_and_code_2(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert called(*arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(said)
    assert told.err.count("\n") == 1


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert called() == 2
    assert "Commands:" in capsys.readouterr().out


def test_flags_that_were_not_given_are_left_out() -> None:
    assert given({"--host": None, "--port": 0, "--confirm": False}, ["a.b=c=d", " x = y"]) == {
        "--port": 0,
        "--confirm": False,
        "--set a.b": "c=d",
        "--set x": " y",
    }
    with pytest.raises(typer.BadParameter):
        given({}, ["secret"])


def test_flags_about_the_model_and_the_agent_are_the_conversations(tmp_path: Path) -> None:
    flags = {"--model": "m", "--agent": "shell", "--set llm.api_key": "k", "--set agent.max_iterations": "3"}
    others = {"--data-dir": tmp_path, "--set log.level": "error"}
    config = load(flags | others, {"OHS_LLM__BASE_URL": "http://mine"}, None).config
    assert dict(conversation_settings(flags | others, config).values()) == {
        "llm_model": "m",
        "agent": "shell",
        "llm_api_key": "k",
        "max_iterations": 3,
    }


def test_secrets_are_shown_as_masks() -> None:
    environ = {"OHS_LLM__API_KEY": "key-of-mine", "OHS_LLM__BASE_URL": "http://me:password@host/v1"}
    found = load({"--session-api-key": "open sesame"}, environ, None)
    assert shown(found, "llm.api_key") == "<secret_hidden>"
    assert shown(found, "server.session_api_key") == "<secret_hidden>"
    assert shown(found, "llm.base_url") == "http://<secret_hidden>@host/v1"
    assert shown(found, "server.port") == 3000
    assert sorted(secrets(found)) == ["key-of-mine", "open sesame"]


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert columns(("a", "b"), [("long", "x"), ("s", "")]) == "a     b\nlong  x\ns"
