"""Follow the list of your conversations: print a line for each, and again when it changes."""

import asyncio
import sys
from typing import Any

import socketio

from openhands_sessions.config.session_key import find_key


async def main(server: str, key: str | None) -> None:
    client, last = socketio.AsyncClient(), -1

    def show(row: dict[str, Any]) -> None:
        session = row["session"]
        print(
            row["conversation_id"], row["status"], session["agent_state"], session["unread"], row["title"], flush=True
        )

    def replace(told: dict[str, Any]) -> None:
        nonlocal last
        last = told["number"]
        for row in told["conversations"]:
            show(row)

    async def change(told: dict[str, Any]) -> None:
        nonlocal last
        if told["number"] != last + 1:
            await client.emit("renew_list", {})  # something is missing: a new list comes
        last = told["number"]
        print(told["conversation_id"], "deleted", flush=True) if told["removed"] else show(told["conversation"])

    client.on("list", replace)
    client.on("list_change", change)
    await client.connect(server, auth={"protocol": 2, "session_api_key": key})
    await client.wait()


url, secret, *_ = [*sys.argv[1:], None, None]
url = url or "http://127.0.0.1:3000"
asyncio.run(main(url, find_key(url, secret)))
