"""One caller of each kind, at a server that tells them apart by tokens, and a conversation that one of them shares."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients
from tests.support.token_keys import SECRET, by_secret

TOKENS = {
    "unauthenticated": None,
    "user": by_secret(sub="ada"),
    "stranger": by_secret(sub="bob"),
    "operator": by_secret(sub="olga", role="operator"),
    "admin": by_secret(sub="root", role="admin"),
    "viewer": by_secret(sub="vera"),
    "writer": by_secret(sub="will"),
}
BEGINS_WITH = "$ git init -q . && echo x > file.txt && git add ."
UNKNOWN_ID = "b" * 32
MESSAGE = {"action": "message", "args": {"content": "$ echo more"}}


@dataclass(frozen=True, kw_only=True)
class TokenCallers:
    """Callers by the names in TOKENS, and `link`, who has a link to view `own`: the user's conversation, which has
    worked, and which the viewer and the writer may view and write. `other` is one that the user shares with nobody."""

    server: Server
    clients: Mapping[str, Clients]
    tokens: Mapping[str, str | None]
    own: str
    other: str

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """Who asks, and of which conversation, in the order of the columns of the tables."""
        own = self.own
        shared = (("viewer", own), ("writer", own), ("link", own))
        return (
            *(("unauthenticated", own), ("user", own), ("stranger", own), ("stranger", UNKNOWN_ID)),
            *(("operator", own), ("admin", own), *shared),
        )


@asynccontextmanager
async def token_callers(data_dir: Path) -> AsyncIterator[TokenCallers]:
    settings = {"OHS_AUTH__KIND": "tokens", "OHS_AUTH__SECRET": SECRET, "OHS_LIMITS__MESSAGES_PER_SECOND": "0"}
    async with running_server(data_dir, settings) as server, AsyncExitStack() as stack:
        clients = {name: Clients(server.url, key=token) for name, token in TOKENS.items()}
        for each in clients.values():
            await stack.enter_async_context(each)
        own, other = await _worked(clients["user"]), await clients["user"].rest.create()
        token = await _shared(clients["user"], own)
        clients["link"] = await stack.enter_async_context(Clients(server.url, key=token))
        tokens = {**TOKENS, "link": token}
        yield TokenCallers(server=server, clients=clients, tokens=tokens, own=own, other=other)


async def _worked(ada: Clients) -> str:
    sid = await ada.rest.create(BEGINS_WITH)
    client = ada.protocol2(sid)
    await client.connect()
    await client.until_event(lambda event: event.get("observation") == "turn_ended")
    await client.leave()
    return sid


async def _shared(ada: Clients, sid: str) -> str:
    """The token of the link."""
    for user, permission in (("vera", "view"), ("will", "write")):
        body = {"user": user, "permission": permission}
        assert (await ada.rest.ask("POST", f"/api/conversations/{sid}/shares", body))[0] == 200
    status, link = await ada.rest.ask("POST", f"/api/conversations/{sid}/links", {})
    assert status == 201
    token: str = link["token"]
    return token
