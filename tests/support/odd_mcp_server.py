"""An MCP server over stdio that answers oddly, by the name of the tool; standard library only."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROGRAM = Path(__file__)
LONGEST = 16 << 20


def out(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def result(number: object, text: str) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": number, "result": {"content": [{"type": "text", "text": text}]}})


def broken(number: object) -> str:
    return f'{{"jsonrpc":"2.0","id":{number},"result":{{"content":[}}]}}}}'


def noise(number: object) -> list[str]:
    return ["listening", "{", f'{{"id":{number},"level":"info"}}', '"x"', "[1]", "", "x" * (LONGEST + 1)]


def too_long_with_its_id_last(number: object) -> str:
    return json.dumps(
        {"result": {"content": [{"type": "text", "text": "x" * LONGEST}]}, "jsonrpc": "2.0", "id": number}
    )


def own_error(number: object) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": number, "error": {"code": -32000, "message": "my own words"}})


ANSWERS: dict[str, Callable[[object], list[str]]] = {
    "ping": lambda number: [result(number, f"pong {os.getpid()}")],
    "answer_and_end": lambda number: [result(number, "answered")],
    "end": lambda number: [],
    "hang": lambda number: [],
    "broken": lambda number: [broken(number)],
    "half_a_line": lambda number: [result(number, "x" * 3000)[:2000]],
    "no_result": lambda number: [json.dumps({"jsonrpc": "2.0", "id": number})],
    "wrong_result": lambda number: [json.dumps({"jsonrpc": "2.0", "id": number, "result": {"content": "none"}})],
    "too_long": lambda number: [result(number, "x" * LONGEST)],
    "too_long_with_its_id_last": lambda number: [too_long_with_its_id_last(number)],
    "half_emoji": lambda number: [result(number, "half \ud83d end")],
    "noise": lambda number: [*noise(number), result(number, "heard")],
    "own_error": lambda number: [own_error(number)],
}


def take(message: dict[str, Any]) -> None:
    number, method = message.get("id"), message.get("method")
    if method == "initialize":
        about = {"protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}}}
        answer = {**about, "serverInfo": {"name": "odd", "version": "1"}}
        out(json.dumps({"jsonrpc": "2.0", "id": number, "result": answer}))
    elif method == "tools/list":
        schema = {"type": "object", "properties": {}}
        tools = [{"name": name, "description": name, "inputSchema": schema} for name in ANSWERS]
        out(json.dumps({"jsonrpc": "2.0", "id": number, "result": {"tools": tools}}))
    elif method == "tools/call":
        with Path("calls").open("a") as kept:
            kept.write(message["params"]["name"] + "\n")
        for line in ANSWERS[message["params"]["name"]](number):
            out(line)
        if "end" in message["params"]["name"].split("_"):
            sys.exit()


if __name__ == "__main__":
    if Path("slow").exists():
        time.sleep(60)
    while line := sys.stdin.readline():
        take(json.loads(line))
