"""The OpenAI Agents SDK's SQLiteSession: what it takes to open a long one, and to append a turn's messages.

python sqlite_session.py FOLDER ITEMS"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

from agents import SQLiteSession

TEXT = "x" * 200
TIMES = 100


def _message(role: str) -> dict[str, Any]:
    return {"role": role, "content": TEXT}


async def main() -> None:
    folder, items = Path(sys.argv[1]), int(sys.argv[2])
    database = folder / "session.db"
    await SQLiteSession("long", database).add_items([_message("user") for _ in range(items)])
    begun = time.perf_counter()
    session = SQLiteSession("long", database)
    await session.get_items(limit=50)
    opening = (time.perf_counter() - begun) * 1e3
    times = []
    for _ in range(TIMES):
        begun = time.perf_counter()
        await session.add_items([_message("user"), _message("assistant")])
        times.append(time.perf_counter() - begun)
    append = sorted(times)[int(TIMES * 0.95)] * 1e3
    sys.stdout.write(json.dumps({"opening": opening, "append": append}) + "\n")


asyncio.run(main())
