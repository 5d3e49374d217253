"""`serve`: runs the server until a signal."""

import asyncio
import ctypes
import errno
import importlib.util
import os
import resource
import shlex
import signal
import ssl
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, nullcontext, suppress
from pathlib import Path

import structlog

from openhands_sessions import __version__
from openhands_sessions.bootstrap.web import web_application
from openhands_sessions.cli.collector import shorten_pauses
from openhands_sessions.cli.data_folder import DataFolderLocked, application, server_lock, usable
from openhands_sessions.cli.keys import check_auth, link_of, url_of, with_key
from openhands_sessions.cli.output import program
from openhands_sessions.cli.settings import loaded
from openhands_sessions.config.config import Config
from openhands_sessions.config.environment import forget_secrets
from openhands_sessions.config.loading import DEFAULT, Loaded
from openhands_sessions.config.session_key import FILE as KEY_FILE
from openhands_sessions.core.errors import SessionsError
from openhands_sessions.server.app import listening
from openhands_sessions.server.login import first_token
from openhands_sessions.server.login_tokens import TOKEN_SECONDS

log = structlog.get_logger(__name__)

PR_SET_DUMPABLE = 4
"""As the kernel numbers it, see prctl(2)."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
SANDBOXES = {
    "local": "local: commands run as you, in a folder of their own but not isolated",
    "docker": "docker: commands run in containers, one for each conversation; `doctor` checks the engine",
}
ACCESS = {
    "session_key": "callers with the configured key",
    "open": "OPEN, without a key: every user and program of this machine can run commands as you",
    "tokens": "users with a signed token",
    "trusted_header": "users whom a proxy of auth.proxies names",
}


def run(flags: Mapping[str, object], file: Path | None) -> int:
    """Serve until a signal. Raises ConfigError, SessionsError."""
    found = loaded(flags, file)
    forget_secrets(os.environ)
    folder = found.config.data_dir
    check_auth(found)
    with ExitStack() as stack:
        try:
            with usable(folder):
                stack.enter_context(server_lock(folder))
                config = with_key(found)
        except DataFolderLocked as error:
            log.error("another server runs on this data folder", holder=error.holder, data_dir=str(folder))
            return 1
        raise_file_limit()
        shorten_pauses()
        _hide_memory()
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_serve(found, config))


def raise_file_limit() -> None:
    """Each client needs an open file: take as many as the system lets this process have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _hide_memory() -> None:
    """Keep programs of the same user, such as commands of the local runtime, from reading this process's memory and
    environment, which hold keys. A debugger needs root then."""
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where it is installed (the extra `fast`), else asyncio's own."""
    if importlib.util.find_spec("uvloop") is None:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = importlib.import_module("uvloop").new_event_loop
    return factory


async def _serve(found: Loaded, config: Config) -> int:
    """`found` is what was configured, `config` the same with the key that was made."""
    stopping = _stopping(config.server.shutdown_grace)
    async with application(config, found.provider_keys) as local, AsyncExitStack() as stack:
        server = config.server
        app = await web_application(local)
        access_log = config.log.format == "json" if config.log.access is None else config.log.access
        tls = await stack.enter_async_context(_opened_tls(config))
        grace = server.shutdown_grace / 2
        edge = listening(app, server.host, server.port, grace, access_log=access_log, tls=tls)
        try:
            port = await stack.enter_async_context(edge)
        except OSError as error:
            raise SessionsError(_refused(error, server.host, server.port)) from error
        if config.is_open:
            log.warning("callers need no key: every user and program of this machine can run commands as this user")
        # Who has configured a key can ask for a link: logs keep what a server prints.
        token = first_token(app) if found.config.makes_key else None
        print(greeting(found, port, token), flush=True)
        log.info("listening", host=server.host, port=port, version=__version__)
        await stopping.wait()
        log.info("shutting down", sessions=local.sessions.live_sessions, grace=server.shutdown_grace)
    log.info("down")
    return 0


def greeting(found: Loaded, port: int, token: str | None) -> str:
    """The text that a new server prints: its address, and what to do next. `token` logs a browser in, once."""
    config = found.config
    url = url_of(config, port)
    own_key = config.makes_key
    key = "" if own_key or config.is_open or config.auth.kind == "trusted_header" else "OHS_SESSION_API_KEY=… "
    folder = "" if found.origins["data_dir"] == DEFAULT else f" --data-dir {shlex.quote(str(config.data_dir))}"
    model = config.llm.model or "none: the shell agent answers; set OHS_LLM__MODEL and OHS_LLM__API_KEY for another"
    link = "" if token is None else f" (works once, for {TOKEN_SECONDS // 60} minutes)"
    access = ACCESS[config.auth.kind]
    if own_key:
        access = f"callers with the key in {config.data_dir / KEY_FILE}"
    elif config.is_open:
        access = ACCESS["open"]
    return "\n".join(
        (
            f"openhands-sessions {__version__} listens on {url}",
            "",
            f"  model     {model}",
            f"  data      {config.data_dir}",
            f"  sandbox   {SANDBOXES[config.runtime.kind]}",
            f"  access    {access}",
            "",
            f"  talk to it      {key}{program()} chat --server {url}{folder if own_key else ''}",
            f"  from a browser  {link_of(url, token)}{link}",
            f"  another link    {key}{program()} login-url --server {url}{folder if own_key else ''}",
            "  from a program  see the example in README.md",
            f"  health          {url}/health/ready",
            "",
            "Ctrl-C ends it.",
        )
    )


def _opened_tls(config: Config) -> AbstractAsyncContextManager[ssl.SSLContext | None]:
    """As `open_tls`, which brings a library that is slow to load; not for plain HTTP."""
    if config.server.tls_certificate is None and config.server.tls_key is None:
        return nullcontext()
    from openhands_sessions.bootstrap.tls import open_tls

    return open_tls(config)


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
    with suppress(OSError):
        sys.stderr.flush()
    os._exit(code)


def _refused(error: OSError, host: str, port: int) -> str:
    where = f"{host or 'any address'}:{port}"
    match error.errno:
        case errno.EADDRINUSE:
            return f"{where} is in use by another program; choose another port with --port"
        case errno.EACCES:
            return f"{where} may not be listened on by this user; choose a port above 1023 with --port"
        case _:
            return f"{where} cannot be listened on: {error.strerror or error}"
