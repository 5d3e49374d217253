"""The REST side of the server, as a client calls it."""

from types import TracebackType
from typing import Any

import aiohttp


class Rest:
    """A client of one server. `url` may be changed when the server is somewhere else."""

    def __init__(self, url: str, *, key: str | None = None) -> None:
        self.url = url
        headers = {} if key is None else {"X-Session-API-Key": key}
        self.http = aiohttp.ClientSession(headers=headers)

    async def __aenter__(self) -> "Rest":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.close()

    async def ask(self, method: str, path: str, body: object = None, **query: Any) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        asked = {name: str(value) for name, value in query.items()}
        async with self.http.request(method, f"{self.url}{path}", json=body, params=asked) as answer:
            return answer.status, await answer.json()

    async def create(self, message: str | None = None, **settings: Any) -> str:
        """Make a conversation; its id."""
        body = {"settings": settings} if message is None else {"settings": settings, "initial_user_msg": message}
        status, answer = await self.ask("POST", "/api/conversations", body)
        assert status == 200, answer
        sid: str = answer["conversation_id"]
        return sid

    async def describe(self, sid: str) -> dict[str, Any]:
        _, answer = await self.ask("GET", f"/api/conversations/{sid}")
        found: dict[str, Any] = answer
        return found

    async def head(self, sid: str) -> int:
        """The newest id."""
        head: int = (await self.describe(sid))["session"]["head"]
        return head

    async def events(self, sid: str, *, start: int = 0) -> list[dict[str, Any]]:
        """The whole log from an id on, page by page. Opens no session."""
        found: list[dict[str, Any]] = []
        more = True
        while more:
            status, page = await self.ask(
                "GET", f"/api/conversations/{sid}/events", start_id=start + len(found), limit=100
            )
            assert status == 200, page
            found += page["events"]
            more = page["has_more"]
        return found

    async def delete(self, sid: str) -> bool:
        _, answer = await self.ask("DELETE", f"/api/conversations/{sid}")
        gone: bool = answer
        return gone
