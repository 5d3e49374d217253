"""Images and other content of MCP answers: shown to a model that sees, otherwise a file in the workspace."""

import base64
import re
from pathlib import Path
from typing import Any

import pytest

from openhands_sessions.adapters.runtimes.local.runtimes import LocalRuntimes
from openhands_sessions.core.events.event import Event, Observation
from openhands_sessions.core.events.observations import ErrorObservation, McpObservation
from openhands_sessions.ports.mcp import McpDone, McpFile
from openhands_sessions.ports.runtime import RuntimeSpec
from openhands_sessions.ports.store import SessionStore
from openhands_sessions.session.attachments import MOST_FILES, MOST_SHOWN
from openhands_sessions.session.turn_history import IMAGES_LEFT_OUT
from tests.fakes.mcp import FakeMcp
from tests.fakes.model import FakeCall, FakeModel, FakeReply
from tests.support.session_harness import SessionHarness, ask, only, says
from tests.support.store_entries import TALK

CONFIG: dict[str, Any] = {"mcp_config": {"shttp_servers": ["http://127.0.0.1:9/mcp"]}}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(64))
PICTURES = {
    "png": PNG,
    "jpeg": b"\xff\xd8\xff\xe0" + bytes(64),
    "gif": b"GIF89a" + bytes(64),
    "webp": b"RIFF\x24\x00\x00\x00WEBPVP8 " + bytes(64),
}


def url_of(content: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def answer(*contents: bytes, kind: str = "image/png", failed: bool = False) -> McpDone:
    marks = [f"[attachment {number}]" for number in range(1, len(contents) + 1)]
    files = [McpFile(kind=kind, content=content) for content in contents]
    return McpDone(text="\n".join(["Look:", *marks]), files=files, failed=failed)


def calls(*names: str) -> FakeReply:
    return FakeReply(calls=[FakeCall(name, {}) for name in names])


def scene(store: SessionStore, *replies: FakeReply, vision: bool = True, **answers: McpDone) -> SessionHarness:
    model = FakeModel([*replies, says("done")])
    model.vision = vision
    return SessionHarness(store=store, model=model, settings=CONFIG, mcp=FakeMcp(answers))


async def named_file(harness: SessionHarness, observation: Event) -> bytes:
    """What the workspace holds under the name that the observation tells."""
    assert isinstance(observation, Observation)
    found = re.search(r"is the file (\S+) in the workspace", observation.content)
    assert found is not None, observation.content
    async with harness.runtimes.open(RuntimeSpec(sid=TALK, term=9)) as runtime:
        return await runtime.files.read(found[1], limit=1 << 24)


async def files_of(harness: SessionHarness) -> list[str]:
    async with harness.runtimes.open(RuntimeSpec(sid=TALK, term=9)) as runtime:
        return [*await runtime.files.list("mcp_files")] if "mcp_files/" in await runtime.files.list() else []


@pytest.mark.parametrize("kind", PICTURES)
async def test_a_model_that_sees_is_shown_the_image_behind_the_result(store: SessionStore, kind: str) -> None:
    picture = PICTURES[kind]
    harness = scene(store, calls("mcp_shot"), mcp_shot=answer(picture, kind="image/x-wrong"))
    async with harness.live() as session:
        await ask(session, "go")
    *_, result, shown = harness.model.requests[1].messages
    assert result["role"] == "tool"
    assert str(result["content"]).startswith("Look:\n[attachment 1]\n[attachment 1 is shown as an image: image/")
    assert shown["role"] == "user"
    assert isinstance(shown["content"], list)
    assert shown["content"][1] == {"type": "image_url", "image_url": {"url": url_of(picture, kind)}}
    [observation] = only(await harness.events(), McpObservation)
    assert observation.image_urls == (url_of(picture, kind),)
    assert await files_of(harness) == []


async def test_results_of_one_reply_stand_together_and_their_images_behind_them(store: SessionStore) -> None:
    harness = scene(
        store, calls("mcp_a", "mcp_b", "mcp_c"), mcp_a=answer(PNG), mcp_b=McpDone(text="b"), mcp_c=answer(PNG, PNG)
    )
    async with harness.live() as session:
        await ask(session, "go")
    shown = harness.model.requests[1].messages[-6:]
    assert [message["role"] for message in shown] == ["assistant", "tool", "tool", "tool", "user", "user"]
    assert [message["content"] for message in shown[-2:]] == [
        [{"type": "text", "text": f"[Of the result of {name}]"}, *[_image(PNG)] * number]
        for name, number in (("mcp_a", 1), ("mcp_c", 2))
    ]


def _image(content: bytes) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url_of(content)}}


async def test_images_are_shown_after_a_restart_too(store: SessionStore) -> None:
    harness = scene(store, calls("mcp_shot"), says("I see."), mcp_shot=answer(PNG))
    async with harness.live() as session:
        await ask(session, "go")
    async with harness.live() as session:
        await ask(session, "and now?")
    assert url_of(PNG) in str(harness.model.requests[2].messages)


async def test_a_model_that_does_not_see_is_told_of_a_file(store: SessionStore) -> None:
    harness = scene(store, calls("mcp_shot"), vision=False, mcp_shot=answer(PNG))
    async with harness.live() as session:
        await ask(session, "go")
    [observation] = only(await harness.events(), McpObservation)
    assert observation.image_urls is None
    assert await named_file(harness, observation) == PNG
    assert re.search(r"mcp_files/mcp_shot-[0-9a-f]{16}\.png", observation.content)
    assert observation.content in str(harness.model.requests[1].messages[-1]["content"])
    assert "image_url" not in str(harness.model.requests[1].messages)


@pytest.mark.parametrize(
    ("content", "kind", "ending"),
    [
        (b"<svg/>", "image/svg+xml", ".svg"),
        (b"<html>", "image/png", ".png"),
        (b"%PDF-1.7", "application/pdf", ".pdf"),
        (b"", "audio/mpeg", ".mp3"),
        (b"?", "../../etc/passwd", ".bin"),
        (b"?", "", ".bin"),
        (PNG + bytes(MOST_SHOWN), "image/png", ".png"),
    ],
)
async def test_what_cannot_be_shown_is_a_file_for_every_model(
    store: SessionStore, content: bytes, kind: str, ending: str
) -> None:
    harness = scene(store, calls("mcp_shot"), mcp_shot=answer(content, kind=kind))
    async with harness.live() as session:
        await ask(session, "go")
    [observation] = only(await harness.events(), McpObservation)
    assert observation.image_urls is None
    assert await named_file(harness, observation) == content
    assert [name.endswith(ending) for name in await files_of(harness)] == [True]


async def test_images_of_an_answer_are_shown_as_far_as_there_is_room(store: SessionStore) -> None:
    big = PNG + bytes(MOST_SHOWN // 2)
    harness = scene(store, calls("mcp_shot"), mcp_shot=answer(big, big + b"2", PNG))
    async with harness.live() as session:
        await ask(session, "go")
    [observation] = only(await harness.events(), McpObservation)
    assert observation.image_urls == (url_of(big), url_of(PNG))
    assert await named_file(harness, observation) == big + b"2"


async def test_attachments_of_an_error_are_files(store: SessionStore) -> None:
    harness = scene(store, calls("mcp_shot"), mcp_shot=answer(PNG, failed=True))
    async with harness.live() as session:
        await ask(session, "go")
    [observation] = only(await harness.events(), ErrorObservation)
    assert await named_file(harness, observation) == PNG


async def test_a_flood_of_attachments_is_cut_and_the_same_one_is_one_file(store: SessionStore) -> None:
    harness = scene(store, calls("mcp_shot"), vision=False, mcp_shot=answer(*[PNG] * (MOST_FILES + 5)))
    async with harness.live() as session:
        await ask(session, "go")
    [observation] = only(await harness.events(), McpObservation)
    assert observation.content.endswith("[5 more attachments are left out]")
    assert len(await files_of(harness)) == 1


async def test_what_cannot_be_stored_is_told_and_the_turn_goes_on(store: SessionStore, tmp_path: Path) -> None:
    harness = scene(store, calls("mcp_shot"), vision=False, mcp_shot=answer(PNG))
    harness.runtimes = LocalRuntimes(tmp_path)
    async with harness.runtimes.open(RuntimeSpec(sid=TALK, term=0)) as runtime:
        await runtime.files.write("mcp_files", b"a file where the folder must be")
    async with harness.live() as session:
        await ask(session, "go")
    [observation] = only(await harness.events(), McpObservation)
    assert "[attachment 1 is left out, it could not be stored (" in observation.content


async def test_of_many_images_the_newest_are_shown(store: SessionStore) -> None:
    big = PNG + bytes(MOST_SHOWN * 3 // 4 - 1000)
    harness = scene(store, *[calls("mcp_shot")] * 5, mcp_shot=answer(big))
    async with harness.live() as session:
        await ask(session, "go")
        harness.model.play(says("again"))
        await ask(session, "and now?")
    for request in harness.model.requests[-2:]:
        shown = [message for message in request.messages if "image_url" in str(message["content"])[:200]]
        assert len(shown) == 3
        results = [str(message["content"]) for message in request.messages if message["role"] == "tool"]
        assert [text.endswith(IMAGES_LEFT_OUT) for text in results] == [True, True, False, False, False]
    stored = only(await harness.events(), McpObservation)
    assert all(observation.image_urls for observation in stored), "the log keeps them"
