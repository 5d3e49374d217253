"""An HTTP server on loopback with a test's own handlers."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiohttp import web

BIGGEST_BODY = 64 << 20


@asynccontextmanager
async def loopback_site(routes: Iterable[web.AbstractRouteDef]) -> AsyncIterator[str]:
    """Serve them while the block lasts. Gives the server's URL."""
    app = web.Application(client_max_size=BIGGEST_BODY)
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
