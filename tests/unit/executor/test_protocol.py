"""What the socket makes of clients that are slow, confused or hostile."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.executors import RunningExecutor, started
from tests.support.processes import peak_memory


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[RunningExecutor]:
    async with asyncio.timeout(60), started(tmp_path) as box:
        yield box


async def test_files_go_both_ways(box: RunningExecutor) -> None:
    async with box.owner() as peer:
        content = base64.b64encode(b"\0\xff" * 1000).decode()
        assert await peer.ask(1, "write", path="below/a", content=content) == {"id": 1}
        assert (await peer.ask(2, "read", path="/workspace/below/a"))["content"] == content
        assert (await peer.ask(3, "list", path="below"))["names"] == ["a"]
        assert (await peer.ask(4, "read", path="below/a", limit=10))["error"] == "file_problem"


async def test_an_owner_that_was_overtaken_is_cut(box: RunningExecutor) -> None:
    async with box.owner(1) as older:
        task = {"kind": "command", "command": "echo begun; read go; echo $go"}
        await older.send({"id": 1, "op": "perform", "key": "k", "task": task})
        assert (await older.receive())["piece"]["text"] == "begun\n"
        async with box.owner(2) as newer:
            assert await older.answer(1) == {}
            async with box.connected(term=1) as late:
                assert (await late.receive())["error"] == "fenced"
            assert (await newer.ask(1, "input", text="on\n"))["taken"]
            assert (await newer.ask(2, "perform", key="k", task=task))["outcome"]["output"] == "begun\non\n"


async def test_an_owner_that_cannot_be_noted_is_told_why(tmp_path: Path) -> None:
    within = ("bash", "-c", 'ulimit -f 0; exec "$@"', "-")
    async with started(tmp_path, within=within) as box, box.connected(term=1) as peer:
        refused = await peer.receive()
        assert (refused["error"], await peer.receive()) == ("storage", {})
        assert "File too large" in refused["message"]


async def test_who_has_no_term_can_only_end_it(box: RunningExecutor) -> None:
    async with box.connected(term=None) as peer:
        assert (await peer.receive())["version"] == 1
        assert (await peer.ask(1, "inquire", key="k"))["error"] == "fenced"
        assert await peer.ask(2, "shutdown") == {"id": 2}
        assert await peer.receive() == {}
    assert await box.process.wait() == 0


async def test_too_many_commands_are_refused_and_the_others_run(box: RunningExecutor) -> None:
    async with box.owner() as peer:
        for number in range(100):
            task = {"kind": "command", "command": "echo x >> runs"}
            await peer.send({"id": number, "op": "perform", "key": f"k-{number}", "task": task})
        answers = [await peer.receive() for _ in range(100)]
    refused = [answer for answer in answers if answer.get("error") == "busy"]
    assert len(refused) == 36
    assert (box.folder / "runs").read_text() == "x\n" * 64


@pytest.mark.slow
async def test_a_client_that_does_not_read_delays_no_other_client(box: RunningExecutor) -> None:
    flood = "head -c 50000000 /dev/zero | tr '\\0' x; echo; echo end"
    async with box.owner() as deaf, box.owner() as other:
        task = {"kind": "command", "command": flood}
        for number in range(20):
            await deaf.send({"id": number, "op": "perform", "key": "flood", "task": task})
        first = await deaf.receive()
        done = (await other.ask(2, "perform", key="flood", task=task))["outcome"]
        assert done["output"].endswith("x\nend\n")
        assert peak_memory(box.process.pid) < 100 << 20
        ends, gaps = {first["id"]: first["piece"]["to"]}, 0
        while "piece" in (message := await deaf.receive()):
            piece, end = message["piece"], ends.get(message["id"])
            assert end is None or piece["from"] >= end
            gaps += end is not None and piece["from"] > end
            ends[message["id"]] = piece["to"]
        assert gaps
        assert message["outcome"] == done


async def test_taking_back_a_request_leaves_the_action_running(box: RunningExecutor) -> None:
    async with box.owner() as peer:
        task = {"kind": "command", "command": "echo begun; read go; echo $go"}
        await peer.send({"id": 1, "op": "perform", "key": "k", "task": task})
        assert (await peer.receive())["piece"] == {"from": 0, "to": 6, "text": "begun\n"}
        await peer.send({"id": 2, "op": "release", "of": 1})
        await peer.send({"id": 3, "op": "release", "of": "x"})
        assert (await peer.ask(4, "input", text="on\n"))["taken"]
        assert (await peer.ask(5, "perform", key="k", task=task))["outcome"]["output"] == "begun\non\n"


async def test_a_full_disk_is_told_before_anything_is_done(tmp_path: Path) -> None:
    limited = ("sh", "-c", 'ulimit -f 4; exec "$@"', "sh")  # in blocks of 512 or 1024 bytes
    async with started(tmp_path / "box", within=limited) as box, box.owner() as peer:
        done = 0
        while "outcome" in (answer := await peer.run(done, "echo x >> runs")):
            done += 1
        assert answer["error"] == "storage"
        assert (box.folder / "runs").read_text() == "x\n" * done
        assert (await peer.ask(1000, "inquire", key=f"k-{done}"))["state"] == "unknown"
        assert (await peer.ask(1001, "inquire", key=f"k-{done - 1}"))["state"] == "done"
    async with started(tmp_path / "box") as box, box.owner() as peer:
        assert (await peer.ask(1, "inquire", key="k-0"))["state"] == "done"
        assert "outcome" in await peer.run(done, "true")
