"""Large answers are compressed for clients that take it, and files are kept by browsers."""

import gzip
import json
from pathlib import Path

import aiohttp
import pytest

from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients

NONE, GZIP = {"Accept-Encoding": "identity"}, {"Accept-Encoding": "br, gzip;q=0.8"}
LONG = "a line of a long answer\n" * 4_000


@pytest.fixture
def server(shared_server: Server) -> Server:
    return shared_server


async def raw(clients: Clients, path: str, headers: dict[str, str]) -> tuple[aiohttp.ClientResponse, bytes]:
    """An answer with its body as it came."""
    async with (
        aiohttp.ClientSession(auto_decompress=False) as http,
        http.get(f"{clients.rest.url}{path}", headers=headers) as answer,
    ):
        return answer, await answer.read()


@pytest.mark.parametrize("path", ["/api/options/models", "/api/openapi.json", "/api/conversations/{id}/trajectory"])
async def test_large_json_is_compressed_for_who_takes_it(clients: Clients, path: str) -> None:
    sid = await clients.rest.create(LONG)
    await clients.until_ready(sid)
    path = path.replace("{id}", sid)
    plain, long = await raw(clients, path, NONE)
    packed, short = await raw(clients, path, GZIP)
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
    assert len(short) < len(long) / 2
    unpacked = json.loads(gzip.decompress(short))
    if "trajectory" not in path:
        assert unpacked == json.loads(long)
    else:
        said = [event["args"].get("content") for event in unpacked["trajectory"] if event.get("action") == "message"]
        assert LONG in said


@pytest.mark.parametrize("accepted", ["identity", "br", "gzip;q=0", "deflate"])
async def test_who_does_not_take_gzip_gets_none(clients: Clients, accepted: str) -> None:
    answer, body = await raw(clients, "/api/options/models", {"Accept-Encoding": accepted})
    assert "Content-Encoding" not in answer.headers
    assert json.loads(body)


async def test_small_answers_are_sent_as_they_are(clients: Clients) -> None:
    answer, body = await raw(clients, "/api/options/config", GZIP)
    assert "Content-Encoding" not in answer.headers
    assert json.loads(body)


async def test_a_compressed_copy_beside_a_file_is_sent_in_its_place_and_texts_are_kept(
    data_dir: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "client"
    script, texts = folder / "assets" / "app-1.js", folder / "locales" / "de" / "translation.json"
    for file in (script, texts):
        file.parent.mkdir(parents=True)
        file.write_text("x" * 10_000)
    (folder / "index.html").write_text("page")
    (script.parent / "app-1.js.gz").write_bytes(gzip.compress(script.read_bytes()))
    settings = {"OHS_SERVER__CLIENT_DIR": str(folder)}
    async with running_server(data_dir, settings) as server, Clients(server.url) as clients:
        packed, short = await raw(clients, "/assets/app-1.js", GZIP)
        plain, long = await raw(clients, "/assets/app-1.js", NONE)
        assert (packed.headers["Content-Encoding"], gzip.decompress(short)) == ("gzip", long)
        assert "Content-Encoding" not in plain.headers
        assert packed.headers["Content-Type"] == plain.headers["Content-Type"]
        assert plain.headers["Content-Type"].endswith("/javascript")
        assert "immutable" in packed.headers["Cache-Control"]
        kept, _ = await raw(clients, "/locales/de/translation.json", GZIP)
        assert kept.headers["Cache-Control"] == "public, max-age=86400"
