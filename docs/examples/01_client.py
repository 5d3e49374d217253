"""Open a conversation or come back to one, say something, print every event until it is answered."""

import asyncio
import sys
from typing import Any
from uuid import uuid4

import socketio

from openhands_sessions.config.session_key import find_key


async def main(server: str, conversation: str | None, after: int, key: str | None) -> None:
    client, ended, last, sid = socketio.AsyncClient(), asyncio.Queue[int](), after, conversation or uuid4().hex

    async def show(news: Any) -> None:
        nonlocal last
        for event in news if isinstance(news, list) else [news]:
            if kind := event.get("action") or event.get("observation"):
                last = event["id"]
                print(last, kind, event.get("message", ""), flush=True)
            if kind == "turn_ended":
                ended.put_nowait(event["extras"]["seen"])

    client.on("oh_event", show)
    client.on("oh_events", show)  # many at once, as when you come back
    client.on("connect_error", lambda told: print("cannot connect:", told))
    auth = {"protocol": 2, "conversation_id": sid, "create": not conversation, "session_api_key": key}
    try:
        await client.connect(server, auth=lambda: {**auth, "after": last})  # called again when the connection breaks
    except socketio.exceptions.ConnectionError:
        sys.exit(1)  # connect_error has told why
    said = await client.call("oh_user_action", {"action": "message", "args": {"content": "$ echo hello"}})
    while await ended.get() < said["id"]:
        pass  # an earlier turn
    await client.disconnect()
    print(f"To come back: {server} {sid} {last}")


url, known, seen, secret, *_ = [*sys.argv[1:], None, None, None, None]
url = url or "http://127.0.0.1:3000"
asyncio.run(main(url, known, int(seen or -1), find_key(url, secret)))
