"""The real server with its store, runtime and archive wrapped at their ports: it kills itself where a test says so.

`python -m tests.support.failing_server --data-dir DIR [--port N] [--kill append:7:before] [--tally FILE]`; further
settings come from the environment, as for the real one. With `--tally` every boundary that it passes becomes a line
of the file, by the name that `--kill` takes.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from openhands_sessions.bootstrap import kinds
from openhands_sessions.bootstrap.application import open_application
from openhands_sessions.bootstrap.web import web_application
from openhands_sessions.config.loading import load
from openhands_sessions.server.app import listening
from tests.support.boundaries import Boundaries
from tests.support.failing_archive import failing_archive
from tests.support.failing_runtime import failing_runtimes
from tests.support.failing_store import failing_stores


async def serve(flags: Mapping[str, object], boundaries: Boundaries) -> None:
    """Serve until a signal."""
    config = load(flags, os.environ, None).config
    ending = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    stores = failing_stores(kinds.STORES, boundaries)
    runtimes = failing_runtimes(kinds.RUNTIMES, boundaries)
    archive = partial(failing_archive, boundaries=boundaries)
    async with open_application(config, stores=stores, runtimes=runtimes, archive=archive) as house:
        app = await web_application(house)
        async with listening(app, config.server.host, config.server.port, config.server.shutdown_grace):
            await ending.wait()


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="failing_server", description=__doc__)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--kill", help="NAME:NUMBER:SIDE, the boundary at which the process ends itself")
    parser.add_argument("--tally", type=Path, help="file that is told every boundary")
    parser.add_argument("--linger", type=float, default=0.0, help="seconds that a runtime takes to close")
    given = parser.parse_args(arguments)
    flags = {"--data-dir": given.data_dir, "--port": given.port}
    asyncio.run(serve(flags, Boundaries(given.kill, given.tally, given.linger)))


if __name__ == "__main__":
    main(sys.argv[1:])
