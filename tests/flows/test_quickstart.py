"""`docs/quickstart.md`: what its picture and its text show is what the program prints."""

import asyncio
import re
import signal
from pathlib import Path

import pytest

from tests.support.chat_recording import CALL, PICTURE, SAID, plain, record, text_of
from tests.support.running_server import Server

TEXT = (Path(__file__).parents[2] / "docs" / "quickstart.md").read_text(encoding="utf-8")


@pytest.mark.long
async def test_the_picture_shows_what_a_chat_prints_whose_server_is_killed() -> None:
    shown = text_of(PICTURE.read_text(encoding="utf-8"))
    recorded = [plain(line.text) for line in await record()]
    assert shown == [f"$ {CALL}", *recorded], "Record it anew: python -m tests.support.chat_recording"


def test_the_picture_is_small_and_names_nothing_of_the_machine() -> None:
    picture = PICTURE.read_text(encoding="utf-8")
    assert len(picture) < 60_000
    assert re.findall(r"/(?:home|root|tmp|work|usr|var)\b", picture) == []
    assert "<script" not in picture


def test_the_text_says_to_type_what_the_picture_shows() -> None:
    assert CALL in TEXT
    assert SAID in TEXT


async def test_the_command_of_the_text_kills_the_server(server: Server) -> None:
    [command] = re.findall(r"^kill -9 .*$", TEXT, re.MULTILINE)
    folder = "~/.local/share/openhands-sessions"
    assert folder in command
    shell = await asyncio.create_subprocess_shell(command.replace(folder, str(server.data_dir)))
    assert await shell.wait() == 0
    assert await server.ended() == -signal.SIGKILL
