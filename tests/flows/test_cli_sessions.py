"""`sessions` and `config init` on the command line: whole programs, over the data folder and over a server."""

import asyncio
import json
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.core.ids import LOCAL_OWNER, ConversationId
from openhands_sessions.ports.store import ConversationRow
from tests.support.command_line import CommandLine
from tests.support.running_server import running_server
from tests.support.store_entries import NOW

IDS = [f"{n:04x}{'c0ffee' * 4}" for n in range(130)]


@pytest.fixture
async def shell(data_dir: Path) -> CommandLine:
    """With 130 conversations in its data folder, each with a title."""
    data_dir.mkdir()
    async with open_sqlite(data_dir / "sessions.db") as store:
        for n, sid in enumerate(IDS):
            title = f"conversation {n} about {'boats' if n % 10 else 'trains and a lot of other things'}"
            await store.conversations.create(
                ConversationRow(id=ConversationId(sid), owner=LOCAL_OWNER, created_at=NOW, updated_at=NOW, title=title)
            )
    return CommandLine(data_dir)


@pytest.fixture(params=["folder", "server"])
async def at(request: pytest.FixtureRequest, shell: CommandLine) -> AsyncIterator[tuple[str, ...]]:
    """Options that name the data folder, or a server over it."""
    if request.param == "folder":
        yield ()
    else:
        async with running_server(shell.data_dir) as server:
            yield ("--server", server.url)


async def test_a_list_says_how_many_more_there_are_and_is_searched(shell: CommandLine, at: tuple[str, ...]) -> None:
    some = await shell.run("sessions", "ls", *at)
    assert len(some.out.splitlines()) == 21
    assert some.err == "110 more; --limit 130 shows all, --search TEXT finds one\n"
    every = await shell.run("sessions", "ls", "--limit", "130", "--json", *at)
    assert ([each["conversation_id"] for each in json.loads(every.out)], every.err) == (IDS[::-1], "")
    found = await shell.run("sessions", "ls", "--search", "TRAINS", "--limit", "12", *at)
    assert [line.split()[0] for line in found.out.splitlines()[1:]] == IDS[120::-10][:12]
    assert found.err.startswith("1 more; --limit 13 ")


async def test_a_conversation_is_named_by_the_beginning_of_its_id(shell: CommandLine, at: tuple[str, ...]) -> None:
    shown = await shell.run("sessions", "show", "0005", "--json", *at)
    assert json.loads(shown.out)["conversation_id"] == IDS[5]
    exported = await shell.run("sessions", "export", "0006c0", *at)
    assert (exported.code, json.loads(exported.out)) == (0, {"trajectory": [], "user_id": "local", "total_cost": 0.0})
    for given, told in (
        ("000", (2, "error: the id '000' is unknown; an id's beginning is taken from 4 characters on")),
        ("ffff", (1, "error: conversation 'ffff' not found")),
    ):
        refused = await shell.run("sessions", "show", given, *at)
        assert (refused.code, refused.err.strip()) == told
    gone = await shell.run("sessions", "delete", "--yes", "0007", "0008c0ff", "0007c0", *at)
    assert (gone.code, gone.out.splitlines()) == (0, [f"deleted {IDS[7]}", f"deleted {IDS[8]}"])


async def test_a_beginning_that_fits_several_names_none(data_dir: Path) -> None:
    data_dir.mkdir()
    async with open_sqlite(data_dir / "sessions.db") as store:
        for end in ("one", "two"):
            made = ConversationRow(id=ConversationId(f"same-{end}"), owner=LOCAL_OWNER, created_at=NOW, updated_at=NOW)
            await store.conversations.create(made)
    shell = CommandLine(data_dir)
    for words in (("show", "same"), ("export", "same-"), ("delete", "--yes", "same-one", "same")):
        refused = await shell.run("sessions", *words)
        assert refused.code == 2
        assert "begins more than one conversation's; give more of it" in refused.err
    assert len(json.loads((await shell.run("sessions", "ls", "--json")).out)) == 2


async def test_a_list_on_a_narrow_terminal_fits_it(shell: CommandLine) -> None:
    narrow = CommandLine(shell.data_dir, {"COLUMNS": "40"})
    async with narrow.terminal("sessions", "ls", "--limit", "5") as terminal:
        assert await terminal.code() == 0
        await terminal.shows("125 more")
        lines = terminal.shown.splitlines()
    listed = lines[: lines.index("125 more; --limit 130 shows all, --search TEXT finds one")]
    assert len(listed) == 6
    assert all(len(line) <= 40 for line in listed)
    assert listed[1].startswith(f"{IDS[-1][:8]}  stopped  ")


async def test_a_file_of_settings_is_written_once_for_its_owner_only(shell: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    made = await shell.run("config", "init", str(file))
    assert made.code == 0
    assert made.out.startswith(f"wrote {file}; change what you need, then: ")
    assert made.out.endswith(f" serve --config {file}\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    text = file.read_text()
    file.write_text(text.replace("#max_sessions", "max_sessions"))
    shown = await shell.run("config", "show", "--config", str(file), "--json")
    found = json.loads(shown.out)
    assert str(file) in found["server.max_sessions"]["origin"]
    again = await shell.run("config", "init", str(file))
    assert (again.code, again.err) == (1, f"error: {file} exists already, and is left as it is; name another file\n")


@pytest.mark.parametrize(
    ("shell_name", "words", "environ"),
    [
        ("bash", "sessions", {"COMP_WORDS": "openhands-sessions sess", "COMP_CWORD": "1"}),
        ("zsh", "sessions", {"_TYPER_COMPLETE_ARGS": "openhands-sessions sess"}),
        (
            "fish",
            "sessions",
            {"_TYPER_COMPLETE_ARGS": "openhands-sessions sess", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
        ),
        ("bash", "--search", {"COMP_WORDS": "openhands-sessions sessions ls --sea", "COMP_CWORD": "3"}),
    ],
)
async def test_words_are_completed_in_each_shell(
    data_dir: Path, shell_name: str, words: str, environ: dict[str, str]
) -> None:
    variables = CommandLine(data_dir, {"_OPENHANDS_SESSIONS_COMPLETE": f"complete_{shell_name}", **environ}).environ
    program = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("openhands-sessions"), env=variables, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await program.communicate()
    assert words in told.decode()
    assert "Usage" not in told.decode()
