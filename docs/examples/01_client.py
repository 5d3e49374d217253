"""Open a conversation, say something, print every event until the turn ends."""

import asyncio
import sys
from typing import Any

import aiohttp
import socketio

SERVER = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:3000"


async def main() -> None:
    async with aiohttp.ClientSession() as http, http.post(f"{SERVER}/api/conversations", json={}) as response:
        conversation = (await response.json())["conversation_id"]
    client, done = socketio.AsyncClient(), asyncio.Event()

    async def on_event(event: dict[str, Any]) -> None:
        print(event.get("id"), event.get("action") or event.get("observation"), event.get("message", ""))
        if event.get("observation") == "turn_ended":
            done.set()

    client.on("oh_event", on_event)
    await client.connect(SERVER, auth={"protocol": 2, "conversation_id": conversation, "after": -1})
    print(await client.call("oh_user_action", {"action": "message", "args": {"content": "$ echo hello"}}))
    await asyncio.wait_for(done.wait(), 60)
    await client.disconnect()


asyncio.run(main())
