"""What the socket makes of clients that are confused or hostile: it refuses them and lives on."""

import struct
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.support.executors import Message, RunningExecutor, started

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningExecutor]:
    async with started(tmp_path_factory.mktemp("box")) as box:
        yield box


@pytest.mark.parametrize(
    "hello",
    [{"op": "hello", "version": 2, "term": 1}, {"op": "perform"}, {"op": "hello", "version": 1, "term": "1"}, {}],
)
async def test_who_does_not_greet_is_told_and_cut(shared: RunningExecutor, hello: Message) -> None:
    async with shared.connected() as peer:
        await peer.send(hello)
        assert "error" in await peer.receive()
        assert await peer.receive() == {}


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"\0\0\0\2[]",
        b"\0\0\0\3{x}",
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">I", 60_000) + b"[" * 60_000,
    ],
)
async def test_what_is_no_frame_ends_the_connection_alone(shared: RunningExecutor, data: bytes) -> None:
    async with shared.owner() as other:
        for greeted in (False, True):
            async with shared.connected(**({"term": 1} if greeted else {})) as peer:
                if greeted:
                    await peer.receive()
                peer.writer.write(data)
                assert await peer.receive() == {}
        assert (await other.ask(1, "inquire", key="k"))["state"] == "unknown"


@pytest.mark.parametrize(
    "request_",
    [
        {"op": "no such"},
        {"op": None},
        {"op": "perform"},
        {"op": "perform", "key": "../k", "task": {}},
        {"op": "perform", "key": "k", "task": []},
        {"op": "perform", "key": "k", "task": {"kind": "command"}},
        {"op": "perform", "key": "k", "task": {"kind": "command", "command": "true", "timeout": True}},
        {"op": "perform", "key": "k", "task": {"kind": "command", "command": "true", "environment": ["a"]}},
        {"op": "perform", "key": "k", "task": {"kind": "edit", "command": "view", "path": "a", "view_range": [1]}},
        {"op": "inquire", "key": "k" * 200},
        {"op": "input", "text": 1},
        {"op": "write", "path": "a", "content": "?"},
        {"op": "read", "path": "../a"},
        {"op": "list", "path": "nothing"},
    ],
    ids=str,
)
async def test_a_request_that_makes_no_sense_is_refused(shared: RunningExecutor, request_: Message) -> None:
    async with shared.owner() as peer:
        await peer.send({"id": 1, **request_})
        answer = await peer.receive()
        assert answer["error"] in ("bad_request", "path_refused", "file_problem")
        assert answer["message"]
        assert (await peer.ask(2, "inquire", key="k"))["state"] == "unknown"
