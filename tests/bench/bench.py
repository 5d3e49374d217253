"""What a row is measured with."""

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import aiohttp

from tests.bench.servers import HERE, Running, our_server

HELD_SCRIPT = """\
name: held
replies:
  - steps:
      - say: "held"
        delay: 3600
"""
SETTINGS = {
    "OHS_LLM__MODEL": "scripted:held",
    "OHS_LIMITS__MESSAGES_PER_SECOND": "1000000",
    "OHS_LIMITS__MESSAGES_BURST": "1000000",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """`code` is the folder whose server is measured; `floor` the bare echo server, None where it is left out; `profile`
    the file that takes cProfile's figures of the last server; `peers` the Python that has other libraries, None where
    they are not measured."""

    http: aiohttp.ClientSession
    code: Path = HERE
    floor: Running | None = None
    profile: Path | None = None
    peers: Path | None = None

    @asynccontextmanager
    async def data_dir(self) -> AsyncIterator[Path]:
        """A data folder with a model that never answers."""
        with tempfile.TemporaryDirectory(prefix="ohs-bench-") as name:
            folder = Path(name)
            (folder / "scripts").mkdir()
            (folder / "scripts" / "held.yaml").write_text(HELD_SCRIPT)
            yield folder

    @asynccontextmanager
    async def server(
        self,
        data_dir: Path | None = None,
        *,
        pauses: Path | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> AsyncIterator[Running]:
        """A server without rate limits whose model holds every turn; with a data folder of its own if none is given.
        `pauses` as in `our_server`; `settings` besides the usual ones."""
        async with AsyncExitStack() as stack:
            if data_dir is None:
                data_dir = await stack.enter_async_context(self.data_dir())
            yield await stack.enter_async_context(
                our_server(
                    self.http, data_dir, {**SETTINGS, **settings}, code=self.code, profile=self.profile, pauses=pauses
                )
            )
