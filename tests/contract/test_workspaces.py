"""What the files of every kind of sandbox keep, where they are read and written as streams."""

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator

import pytest

from openhands_sessions.core.errors import FileProblem, PathRefused, TooLarge
from openhands_sessions.ports.runtime import Runtime, Workspace

LARGEST_PIECE = 256 << 10
OUTSIDE = ["../a", "a/../../b", "/etc/passwd", "/workspace/../a", "/workspacea", "a\0b", "x" * 300]


@pytest.fixture
def files(runtime: Runtime) -> Workspace:
    return runtime.files


async def stream(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def cut(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    raise ConnectionResetError


async def unpacked(files: Workspace, path: str = "") -> dict[str, bytes]:
    """Folders are left out."""
    packed = io.BytesIO(b"".join([piece async for piece in files.archive(path)]))
    with zipfile.ZipFile(packed) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


async def test_a_file_comes_back_piece_by_piece(files: Workspace) -> None:
    content = bytes(range(256)) * 5000
    assert await files.receive("below/big", stream(content[:7], b"", content[7:]), limit=len(content)) == len(content)
    pieces = [piece async for piece in files.pieces("/workspace/below/big")]
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= LARGEST_PIECE
    assert await files.list("below") == ["big"]


async def test_an_empty_file_is_received_and_read(files: Workspace) -> None:
    assert await files.receive("empty", stream(), limit=0) == 0
    assert [piece async for piece in files.pieces("empty")] == []
    assert await files.read("empty") == b""


async def test_a_reader_may_leave_in_the_middle(files: Workspace) -> None:
    await files.write("big", b"x" * (LARGEST_PIECE * 3))
    pieces = files.pieces("big")
    assert len(await anext(pieces)) <= LARGEST_PIECE
    await pieces.aclose()
    archive = files.archive()
    await anext(archive)
    await archive.aclose()


async def test_what_is_received_replaces_a_file_wholly_or_not_at_all(files: Workspace) -> None:
    await files.write("a", b"old")
    with pytest.raises(TooLarge, match="larger than 5 bytes"):
        await files.receive("a", stream(b"123", b"456"), limit=5)
    with pytest.raises(ConnectionResetError):
        await files.receive("a", cut(b"123"), limit=5)
    assert await files.read("a") == b"old"
    assert await files.list() == ["a"]
    await files.receive("a", stream(b"12345"), limit=5)
    assert await files.read("a") == b"12345"


async def test_a_sender_that_is_cancelled_leaves_the_file_as_it_was(files: Workspace) -> None:
    asked, never = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"begun"
        asked.set()
        await never.wait()

    receiving = asyncio.create_task(files.receive("a", slow(), limit=99))
    await asked.wait()
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    assert await files.list() == []


async def test_a_folder_is_packed_with_all_below_it(files: Workspace) -> None:
    await files.write("a.txt", b"one")
    await files.write("below/deep/b.txt", b"two" * 200_000)
    await files.write("below/c.txt", b"")
    everything = {"a.txt": b"one", "below/deep/b.txt": b"two" * 200_000, "below/c.txt": b""}
    assert await unpacked(files) == await unpacked(files, "/workspace") == everything
    assert await unpacked(files, "below") == {"deep/b.txt": b"two" * 200_000, "c.txt": b""}


async def test_an_empty_workspace_is_an_empty_archive(files: Workspace) -> None:
    assert await unpacked(files) == {}


@pytest.mark.parametrize("path", OUTSIDE)
async def test_no_stream_leads_out(files: Workspace, path: str) -> None:
    with pytest.raises(PathRefused):
        await anext(files.pieces(path))
    with pytest.raises(PathRefused):
        await anext(files.archive(path))
    with pytest.raises(PathRefused):
        await files.receive(path, stream(b"x"), limit=9)


async def test_what_is_not_there_is_no_stream(files: Workspace) -> None:
    for stream_of in (files.pieces, files.archive):
        with pytest.raises(FileProblem):
            await anext(stream_of("missing"))
