"""An address that shows many wrong keys has to wait, and nobody else has."""

from pathlib import Path

import aiohttp
import pytest

from tests.support.running_server import running_server
from tests.support.socket_connection import ConnectionRefused, SocketConnection

KEY = "the-key-of-this-server"
LIMIT = 5
SETTINGS = {
    "OHS_SERVER__SESSION_API_KEY": KEY,
    "OHS_SERVER__TRUSTED_PROXIES": "127.0.0.1",
    "OHS_LIMITS__FAILED_LOGINS_PER_MINUTE": str(LIMIT),
}


async def test_wrong_keys_of_one_address_are_refused_after_a_few(data_dir: Path) -> None:
    async with running_server(data_dir, SETTINGS) as server, aiohttp.ClientSession(server.url) as http:

        async def ask(address: str, key: str) -> tuple[int, str | None]:
            headers = {"X-Forwarded-For": address, "X-Session-API-Key": key}
            async with http.get("/api/conversations", headers=headers) as answer:
                return answer.status, answer.headers.get("Retry-After")

        assert await ask("203.0.113.2", KEY) == (200, None)
        for place in range(LIMIT):
            assert await ask("203.0.113.1", f"guess {place}") == (401, None)
        status, wait = await ask("203.0.113.1", "another guess")
        assert (status, 0 < int(wait or 0) <= 12) == (429, True)
        assert await ask("203.0.113.1", "guess 0") == (401, None)
        assert await ask("203.0.113.1", KEY) == (200, None)  # it was right before
        for address in ("203.0.113.2", "203.0.113.3"):
            assert await ask(address, KEY) == (200, None)
        told = {"X-Forwarded-For": "203.0.113.1"}
        async with http.post("/api/login", data={"session_api_key": "one more"}, headers=told) as answer:
            assert answer.status == 429
        async with aiohttp.ClientSession(headers=told) as guesser:
            connection = SocketConnection(guesser, lambda name, value: None, lambda: None)
            with pytest.raises(ConnectionRefused) as refused:
                await connection.connect(server.url, {}, {"protocol": 2, "session_api_key": "the last guess"})
            assert refused.value.told["data"]["code"] == "rate_limited"
