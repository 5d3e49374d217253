"""Files of a conversation over REST: listed, shown, sent, and taken along."""

import asyncio
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients

BOUNDARY = "XXboundaryXX"


@pytest.fixture
def server(shared_server: Server) -> Server:
    return shared_server


async def test_files_are_sent_listed_shown_and_taken_along(server: Server, clients: Clients) -> None:
    sid = await clients.rest.create()
    big = os.urandom(9 << 20)
    status, answer = await upload(clients, sid, {"a.txt": "näme\n".encode(), "big.bin": big, "../../up.txt": b"up"})
    assert status == 200
    assert answer == {
        "uploaded_files": ["/workspace/a.txt", "/workspace/big.bin", "/workspace/up.txt"],
        "skipped_files": [],
    }
    (server.workspace(sid) / "below").mkdir()
    (server.workspace(sid) / "below" / "b").write_text("b")
    assert await ask(clients, sid, "list-files") == (200, ["a.txt", "below/", "big.bin", "up.txt"])
    assert await ask(clients, sid, "list-files", path="/workspace/below") == (200, ["b"])
    assert await ask(clients, sid, "select-file", file="a.txt") == (200, {"code": "näme\n"})
    assert (await ask(clients, sid, "select-file", file="big.bin"))[0] == 413
    async with clients.rest.http.get(url(clients, sid, "zip-directory")) as got:
        assert (got.status, got.content_type) == (200, "application/zip")
        with zipfile.ZipFile(io.BytesIO(await got.read())) as archive:
            assert archive.testzip() is None
            assert sorted(archive.namelist()) == ["a.txt", "below/", "below/b", "big.bin", "up.txt"]
            assert archive.read("big.bin") == big
    # A stopped conversation's files are reached all the same.
    await clients.rest.ask("POST", f"/api/conversations/{sid}/stop")
    assert await ask(clients, sid, "select-file", file="below/b") == (200, {"code": "b"})


async def test_nothing_leads_out_of_the_workspace_and_no_answer_names_the_host(
    server: Server, clients: Clients
) -> None:
    sid = await clients.rest.create()
    await upload(clients, sid, {"a": b"\x00\x01", "latin": b"\xe4"})
    workspace = server.workspace(sid)
    secret = server.data_dir / "secret"
    secret.write_text("secret")
    (workspace / "out").symlink_to(secret)
    (workspace / "folder").mkdir()
    os.mkfifo(workspace / "pipe")
    cases = [
        ("list-files", {"path": "../.."}, 422, "path"),
        ("list-files", {"path": "/etc"}, 422, "path"),
        ("list-files", {"path": "a"}, 404, None),
        ("list-files", {"path": "none"}, 404, None),
        ("list-files", {"path": "\0"}, 422, "path"),
        ("select-file", {}, 422, "file"),
        ("select-file", {"file": "out"}, 422, "file"),
        ("select-file", {"file": str(secret)}, 422, "file"),
        ("select-file", {"file": "folder"}, 404, None),
        ("select-file", {"file": "pipe"}, 404, None),
        ("select-file", {"file": "a"}, 415, None),
        ("select-file", {"file": "latin"}, 415, None),
        ("select-file", {"file": "x" * 5000}, 422, "file"),
        ("zip-directory", {"path": ".."}, 422, "path"),
        ("zip-directory", {"path": "a"}, 404, None),
    ]
    for call, query, status, field in cases:
        got, answer = await ask(clients, sid, call, **query)
        assert (got, answer.get("field")) == (status, field), (call, query, answer)
        assert str(server.data_dir.parent) not in json.dumps(answer).replace(str(secret), "")
    status, answer = await upload(
        clients, sid, {"out": b"x", "folder": b"x", "..": b"x", "n" * 300: b"x", "b\u202e": b"x"}
    )
    assert status == 200
    assert answer["uploaded_files"] == ["/workspace/b_"]
    assert len(answer["skipped_files"]) == 4
    assert secret.read_text() == "secret"
    assert str(server.data_dir) not in str(answer)


async def test_files_of_somebody_else_or_of_nobody_are_not_found_before_anything_else(clients: Clients) -> None:
    for call in ("list-files", "select-file", "zip-directory", "git/changes", "git/diff"):
        assert (await ask(clients, "none", call, path="..", file="..", nonsense="1"))[0] == 404
    async with clients.rest.http.post(url(clients, "none", "upload-files"), data=b"junk") as got:
        assert got.status == 404


async def test_an_upload_that_is_none_is_refused_and_the_server_lives_on(clients: Clients) -> None:
    sid = await clients.rest.create()
    bodies = [
        ("application/json", b"{}"),
        ("multipart/form-data", b""),
        (f"multipart/form-data; boundary={BOUNDARY}", b""),
        (f"multipart/form-data; boundary={BOUNDARY}", b"junk"),
        (f"multipart/form-data; boundary={BOUNDARY}", f"--{BOUNDARY}\r\n\r\n".encode()),
        (f"multipart/form-data; boundary={BOUNDARY}", _part('name="files"; filename="a"')[:-10]),
        (f"multipart/form-data; boundary={BOUNDARY}", _part('name="files"; filename="a"') + b"more"),
        ("multipart/form-data; boundary=" + "b" * 99, b""),
    ]
    for content_type, body in bodies:
        async with clients.rest.http.post(
            url(clients, sid, "upload-files"), data=body, headers={"Content-Type": content_type}
        ) as got:
            answer = await got.json()
            assert got.status in (200, 422), (content_type, body, answer)
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    body = _part('name="other"; filename="a"') + _part('name="files"') + f"--{BOUNDARY}--\r\n".encode()
    async with clients.rest.http.post(url(clients, sid, "upload-files"), data=body, headers=headers) as got:
        assert got.status == 200
        assert [each["reason"] for each in (await got.json())["skipped_files"]] == [
            "not a file in the field `files`"
        ] * 2


async def test_a_name_that_another_system_reads_as_a_path_is_changed_and_told(server: Server, clients: Clients) -> None:
    sid = await clients.rest.create()
    names = [r"C:\Users\me\doc.txt", r"..\x", "nul.txt", "dot.", r"say \"hi\".txt", "plain.txt"]
    body = "".join(_part(f'name="files"; filename="{name}"').decode() for name in names) + f"--{BOUNDARY}--\r\n"
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    async with clients.rest.http.post(url(clients, sid, "upload-files"), data=body.encode(), headers=headers) as got:
        answer = await got.json()
    paths = [f"/workspace/{name}" for name in ("doc.txt", "x", "_nul.txt", "dot_", 'say "hi".txt', "plain.txt")]
    assert answer["uploaded_files"] == paths
    assert answer["renamed_files"] == [
        {"name": name, "path": path} for name, path in zip(names[:4], paths[:4], strict=True)
    ]
    assert answer["skipped_files"] == []


async def test_limits_skip_what_is_over_them(data_dir: Path) -> None:
    limits = {"OHS_LIMITS__UPLOAD_BYTES": "1000", "OHS_LIMITS__UPLOAD_FILES": "2"}
    async with running_server(data_dir, limits) as server, Clients(server.url) as clients:
        sid = await clients.rest.create()
        status, answer = await upload(clients, sid, {"big": b"x" * 5000, "a": b"x" * 1000, "b": b"", "c": b""})
        assert status == 200
        assert answer == {
            "uploaded_files": ["/workspace/a", "/workspace/b"],
            "skipped_files": [
                {"name": "big", "reason": "larger than 1000 bytes"},
                {"name": "c", "reason": "more than 2 files"},
            ],
        }
        assert await ask(clients, sid, "list-files") == (200, ["a", "b"])


async def test_a_sender_that_vanishes_leaves_nothing_behind(server: Server, clients: Clients) -> None:
    sid = await clients.rest.create()
    await ask(clients, sid, "list-files")
    workspace = server.workspace(sid)
    begun = _part('name="files"; filename="a"').rstrip() + b"x" * (1 << 20)
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    path = f"/api/conversations/{sid}/upload-files"
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(begun) * 2}\r\n"
    writer.write(f"{head}Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n".encode() + begun)
    await writer.drain()
    async with asyncio.timeout(10):
        await _holds(workspace, 1)
        writer.close()
        await _holds(workspace, 0)
    assert "Traceback" not in server.log, server.log.replace("\\n", "\n")


def url(clients: Clients, sid: str, call: str) -> str:
    return f"{clients.rest.url}/api/conversations/{sid}/{call}"


async def ask(clients: Clients, sid: str, call: str, **query: str) -> tuple[int, Any]:
    async with clients.rest.http.get(url(clients, sid, call), params=query) as got:
        return got.status, await got.json()


async def upload(clients: Clients, sid: str, files: dict[str, bytes]) -> tuple[int, Any]:
    form = aiohttp.FormData(quote_fields=False)
    for name, content in files.items():
        form.add_field("files", io.BytesIO(content), filename=name)
    async with clients.rest.http.post(url(clients, sid, "upload-files"), data=form) as got:
        return got.status, await got.json()


def _part(disposition: str) -> bytes:
    return f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\nxyz\r\n".encode()


async def _holds(folder: Path, count: int) -> None:
    """Nothing tells us but the folder itself."""
    while len(list(folder.iterdir())) != count:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
