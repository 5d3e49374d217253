"""One caller of each kind, at a server that tells them apart by tokens."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.support.running_server import Server, running_server
from tests.support.server_clients import Clients
from tests.support.token_keys import SECRET, by_secret

TOKENS = {
    "nobody": None,
    "user": by_secret(sub="ada"),
    "stranger": by_secret(sub="bob"),
    "operator": by_secret(sub="olga", role="operator"),
    "admin": by_secret(sub="root", role="admin"),
}
CALLERS = ("nobody", "user", "stranger", "stranger", "operator", "admin")
"""Who asks: of a conversation of the user's own, of another user's, of none, and of another user's."""
BEGINS_WITH = "$ git init -q . && echo x > file.txt && git add ."
UNKNOWN_ID = "b" * 32
MESSAGE = {"action": "message", "args": {"content": "$ echo more"}}


@asynccontextmanager
async def token_server(data_dir: Path) -> AsyncIterator[Server]:
    settings = {"OHS_AUTH__KIND": "tokens", "OHS_AUTH__SECRET": SECRET, "OHS_LIMITS__MESSAGES_PER_SECOND": "0"}
    async with running_server(data_dir, settings) as ready:
        yield ready


@asynccontextmanager
async def token_callers(server: Server) -> AsyncIterator[Mapping[str, Clients]]:
    """By the names in TOKENS."""
    async with AsyncExitStack() as stack:
        made = {name: Clients(server.url, key=token) for name, token in TOKENS.items()}
        for clients in made.values():
            await stack.enter_async_context(clients)
        yield made


async def worked_conversation(ada: Clients) -> str:
    """A conversation of the user's, which has worked."""
    sid = await ada.rest.create(BEGINS_WITH)
    client = ada.protocol2(sid)
    await client.connect()
    await client.until_event(lambda event: event.get("observation") == "turn_ended")
    await client.leave()
    return sid
