"""A small real MCP server, over stdio or HTTP: `python -m tests.support.mcp_server stdio`, `… http PORT`."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from mcp.server import MCPServer
from mcp.server.mcpserver import Image
from mcp.types import ToolAnnotations

PROGRAM = Path(__file__)
WITHIN = 20.0

server = MCPServer("small")
said: list[str] = []
news = asyncio.Event()


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(first: int, second: int) -> int:
    """Add two numbers."""
    return first + second


@server.tool()
async def note(text: str) -> str:
    """Keep a text, and tell how many there are."""
    said.append(text)
    news.set()
    return f"{len(said)} kept"


@server.tool()
async def wait_for_notes(count: int) -> str:
    """Answer as soon as there are so many."""
    while len(said) < count:
        news.clear()
        await news.wait()
    return "there they are"


@server.tool(name="odd name! ü")
def odd() -> str:
    """Has a name that no model takes."""
    return "odd"


@server.tool()
def fail() -> str:
    """Does not work."""
    raise ValueError("this never works")


@server.tool()
async def dawdle(seconds: float) -> str:
    """Take your time."""
    await asyncio.sleep(seconds)
    return "done"


@server.tool()
def die() -> str:
    """End the server at once."""
    import os

    os._exit(1)


@server.tool(structured_output=False)
def long_text(size: int) -> str:
    """Say much."""
    return "x" * size


@server.tool()
def screenshot(size: int) -> list[str | Image]:
    """A text and something that begins like a PNG."""
    return ["Screenshot:", Image(data=b"\x89PNG\r\n\x1a\n" + b"0" * size, format="png")]


@asynccontextmanager
async def served(port: int, kind: str = "http") -> AsyncIterator[str]:
    """Run it as a process; its address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.mcp_server", kind, str(port), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(WITHIN), aiohttp.ClientSession() as http:
            while True:
                try:
                    async with http.get(f"http://127.0.0.1:{port}/none"):
                        break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.02)  # nothing tells us when it listens but the socket itself
        yield f"http://127.0.0.1:{port}/{'mcp' if kind == 'http' else 'sse'}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


if __name__ == "__main__":
    match sys.argv[1]:
        case "stdio":
            server.run("stdio")
        case "http":
            server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
        case "sse":
            server.run("sse", host="127.0.0.1", port=int(sys.argv[2]))
