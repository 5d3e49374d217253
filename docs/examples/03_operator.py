"""Give one operator's command: `stop`, `close`, `set_limits`, `drain` or `undrain`, with its fields as JSON."""

import asyncio
import json
import sys

import socketio

from openhands_sessions.config.session_key import find_key


async def main(server: str, command: str, fields: str, key: str | None) -> None:
    client = socketio.AsyncClient()
    await client.connect(server, auth={"session_api_key": key}, namespaces=["/operator"])
    print(json.dumps(await client.call(command, json.loads(fields), namespace="/operator")))
    await client.disconnect()


url, name, value, secret, *_ = [*sys.argv[1:], None, None]
asyncio.run(main(url, name, value or "{}", find_key(url, secret)))
