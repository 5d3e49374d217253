"""`serve`: runs the server until a signal."""

import asyncio
import errno
import gc
import importlib.util
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, ExitStack
from ipaddress import ip_address
from pathlib import Path

import structlog

from openhands_sessions import __version__
from openhands_sessions.bootstrap import application as bootstrap
from openhands_sessions.cli.data_folder import DataFolderLocked, application, server_lock, usable
from openhands_sessions.cli.output import program
from openhands_sessions.cli.settings import loaded
from openhands_sessions.config.config import Config
from openhands_sessions.config.errors import ConfigError
from openhands_sessions.core.errors import SessionsError
from openhands_sessions.server.app import listening

log = structlog.get_logger(__name__)

SWITCH_INTERVAL = 0.0005
"""Seconds after which a busy thread yields: the event loop and the store's threads wait for each other."""
COLLECTION = (5_000, 10, 500)
"""As `gc.set_threshold` takes them."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
SANDBOXES = {
    "local": "local: commands run as you, in a folder of their own but not isolated",
    "docker": "docker: commands run in containers, one for each conversation",
}


def run(flags: Mapping[str, object], file: Path | None) -> int:
    """Serve until a signal. Raises ConfigError, SessionsError."""
    found = loaded(flags, file)
    config = found.config
    if config.server.unguarded:
        raise ConfigError(
            found.origins["server.host"].partition(" ")[2],
            f"server.host {config.server.host} is reached from other machines, and whoever reaches the server can run"
            " commands on this one. Set server.session_api_key (OHS_SERVER__SESSION_API_KEY), or keep to 127.0.0.1",
        )
    with ExitStack() as stack:
        try:
            with usable(config.data_dir):
                stack.enter_context(server_lock(config.data_dir))
        except DataFolderLocked as error:
            log.error("another server runs on this data folder", holder=error.holder, data_dir=str(config.data_dir))
            return 1
        _shorten_pauses()
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_serve(config))


def _shorten_pauses() -> None:
    """Exclude the loaded modules from garbage collection, and collect the rest less often."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.freeze()
    gc.set_threshold(*COLLECTION)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where it is installed (the extra `fast`), else asyncio's own."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    return factory


async def _serve(config: Config) -> int:
    stopping = _stopping(config.server.shutdown_grace)
    async with application(config) as local, AsyncExitStack() as stack:
        server = config.server
        app = await bootstrap.web_application(local)
        access_log = config.log.format == "json" if config.log.access is None else config.log.access
        edge = listening(app, server.host, server.port, server.shutdown_grace / 2, access_log=access_log)
        try:
            port = await stack.enter_async_context(edge)
        except OSError as error:
            raise SessionsError(_refused(error, server.host, server.port)) from error
        print(greeting(config, port), flush=True)
        log.info("listening", host=server.host, port=port, version=__version__)
        await stopping.wait()
        log.info("shutting down", sessions=local.sessions.live_sessions, grace=server.shutdown_grace)
    log.info("down")
    return 0


def greeting(config: Config, port: int) -> str:
    """The text that a new server prints: its address, and what to do next."""
    url = f"http://{_reached_at(config.server.host)}:{port}"
    key = "" if config.server.session_api_key is None else "OHS_SERVER__SESSION_API_KEY=… "
    model = config.llm.model or "none: the shell agent answers; set OHS_LLM__MODEL and OHS_LLM__API_KEY for another"
    return "\n".join(
        (
            f"openhands-sessions {__version__} listens on {url}",
            "",
            f"  model     {model}",
            f"  data      {config.data_dir}",
            f"  sandbox   {SANDBOXES[config.runtime.kind]}",
            "",
            f"  talk to it      {key}{program()} chat --server {url}",
            "  from a program  see the example in README.md",
            f"  health          {url}/health/ready",
            "",
            "Ctrl-C ends it.",
        )
    )


def _stopping(grace: float) -> asyncio.Event:
    """Set by the first signal. A second one, or the end of the grace time, ends the process at once."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def handle(number: int) -> None:
        if stopping.is_set():
            _exit_now(128 + number, "ended by a second signal")
        stopping.set()
        loop.call_later(grace, _exit_now, 1, "not everything could be closed in time")

    for number in SIGNALS:
        loop.add_signal_handler(number, handle, number)
    return stopping


def _exit_now(code: int, reason: str) -> None:
    """End without closing anything: acknowledged events are on disk already."""
    log.error("leaving at once", reason=reason)
    sys.stderr.flush()
    os._exit(code)


def _reached_at(host: str) -> str:
    """The host for a URL on this machine."""
    try:
        address = ip_address(host)
    except ValueError:
        return host or "127.0.0.1"
    if address.is_unspecified:
        return "127.0.0.1" if address.version == 4 else "[::1]"
    return host if address.version == 4 else f"[{host}]"


def _refused(error: OSError, host: str, port: int) -> str:
    where = f"{host or 'any address'}:{port}"
    match error.errno:
        case errno.EADDRINUSE:
            return f"{where} is in use by another program; choose another port with --port"
        case errno.EACCES:
            return f"{where} may not be listened on by this user; choose a port above 1023 with --port"
        case _:
            return f"{where} cannot be listened on: {error.strerror or error}"
