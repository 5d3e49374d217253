"""Which lines are commands of the chat."""

import io

import pytest

from openhands_sessions.cli.chat_target import ChatTarget
from openhands_sessions.cli.screen import PlainScreen
from openhands_sessions.cli.slash_commands import COMMANDS, SlashCommand, SlashCommands, read, unknown
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.ids import LOCAL_OWNER, conversation_id
from openhands_sessions.ports.gateway import SessionSpec
from tests.fakes.memory_store import open_memory
from tests.support.service_layer import ServiceLayer, running_service


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("hello", "hello"),
        ("/stop", SlashCommand("stop")),
        ("/Model  openai/gpt-4o ", SlashCommand("model", "openai/gpt-4o")),
        ("/files src dir", SlashCommand("files", "src dir")),
        ("/dance", SlashCommand("dance")),
        ("/", SlashCommand("")),
        ("//stop it", "/stop it"),
        ("/workspace/a.py fails", "/workspace/a.py fails"),
        ("/etc\nis a folder", "/etc\nis a folder"),
        (" /stop", " /stop"),
    ],
)
def test_one_line_of_a_slash_and_letters_is_a_command(text: str, meant: SlashCommand | str) -> None:
    assert read(text) == meant


@pytest.mark.parametrize("name", COMMANDS)
async def test_a_command_says_something_before_the_first_message_and_makes_nothing(
    name: str, screen: PlainScreen, paper: io.StringIO
) -> None:
    async def nothing_stops() -> bool:
        return False

    async with open_memory() as store, running_service(ServiceLayer(store=store)) as service:
        spec = SessionSpec(id=conversation_id("a" * 32), create=True)
        commands = SlashCommands(ChatTarget(service.of(LOCAL_OWNER), spec), screen, nothing_stops)
        await commands.run(SlashCommand(name))
        assert paper.getvalue().strip()
        assert list((await service.conversations.page(limit=10)).conversations) == []


@pytest.mark.parametrize("name", ["stop", "undo", "help"])
async def test_a_word_behind_a_command_that_takes_none_is_refused(name: str, screen: PlainScreen) -> None:
    async def stops() -> bool:
        raise AssertionError("nothing is to be stopped")

    async with open_memory() as store, running_service(ServiceLayer(store=store)) as service:
        target = ChatTarget(service.of(LOCAL_OWNER), SessionSpec(id=conversation_id("a" * 32), create=True))
        with pytest.raises(BadInput, match=f"/{name} takes nothing behind it"):
            await SlashCommands(target, screen, stops).run(SlashCommand(name, "twice"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("stpo", "there is no command /stpo; did you mean /stop? /help lists all; //stpo sends it as a message"),
        ("dance", "there is no command /dance; /help lists all; //dance sends it as a message"),
    ],
)
def test_an_unknown_command_is_told_with_the_nearest_one(name: str, told: str) -> None:
    assert unknown(name).message == told
