"""Secrets are in the sandbox, and in nothing that is told, kept or written down."""

from pathlib import Path

from openhands_sessions.core.masking import MASK
from tests.support.running_server import Server
from tests.support.server_clients import Clients

SECRET = "hunter2-and-a-half"
SHOW = (
    '$ printf %s "${TOKEN:0:9}"; sleep 0.2; printf "%s\\n" "${TOKEN:9}"; printf %s "$TOKEN" > kept.txt;'
    " printf '%s' \"$TOKEN\" | wc -c; echo $GIT_AUTHOR_NAME"
)


async def test_a_secret_is_used_and_never_seen(server: Server, clients: Clients) -> None:
    ask = clients.rest.ask
    await ask("POST", "/api/settings", {"git_user_name": "Ada"})
    assert (await ask("POST", "/api/secrets", {"name": "TOKEN", "value": SECRET}))[0] == 201
    sid = await clients.rest.create()
    client = clients.protocol2(sid)
    await client.connect()
    said = await client.say(SHOW)
    await client.until_state("awaiting_user_input", after=said)
    said = await client.say(f"it is {SECRET}, remember it")
    await client.until_state("awaiting_user_input", after=said)
    assert client.events[said]["args"]["content"] == f"it is {MASK}, remember it"
    [ran] = [event for event in client.events if event.get("observation") == "run"]
    assert ran["content"].split() == [MASK, str(len(SECRET)), "Ada"]
    assert (server.workspace(sid) / "kept.txt").read_text() == SECRET
    noted = [path.read_bytes() for path in (server.workspace(sid).parent / "state").rglob("*") if path.is_file()]
    assert any(MASK.encode() in content for content in noted)
    assert not [content for content in noted if SECRET.encode() in content]

    _, exported = await ask("GET", f"/api/conversations/{sid}/trajectory")
    told = [client.events, client.statuses, client.streams, exported, server.log]
    assert not [where for where in told if SECRET in str(where)]
    await server.stopped()
    assert SECRET not in _everything(server.data_dir / "sessions.db")


def _everything(database: Path) -> str:
    return "".join(path.read_bytes().decode(errors="replace") for path in database.parent.glob(f"{database.name}*"))
