"""`sandbox`: the containers of the data folder's conversations, and why each is kept or removed."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import orjson

from openhands_sessions import bootstrap
from openhands_sessions.cli.columns import columns
from openhands_sessions.cli.settings import loaded
from openhands_sessions.config.config import Config
from openhands_sessions.ports.sandboxes import SandboxInfo


def ls(flags: Mapping[str, object], file: Path | None, *, as_json: bool) -> int:
    """Print every sandbox."""
    return _show(asyncio.run(_survey(loaded(flags, file, quiet=True).config)), as_json=as_json)


def reap(flags: Mapping[str, object], file: Path | None, *, as_json: bool) -> int:
    """Remove the sandboxes that no conversation needs, and print them."""
    return _show(asyncio.run(_reap(loaded(flags, file, quiet=True).config)), as_json=as_json)


def clear(flags: Mapping[str, object], file: Path | None, *, as_json: bool) -> int:
    """Remove all, and print them."""
    return _show(asyncio.run(_clear(loaded(flags, file, quiet=True).config)), as_json=as_json)


async def _survey(config: Config) -> Sequence[SandboxInfo]:
    async with bootstrap.open_sandboxes(config) as sandboxes:
        return await sandboxes.survey()


async def _reap(config: Config) -> Sequence[SandboxInfo]:
    async with bootstrap.open_sandboxes(config) as sandboxes:
        return await sandboxes.reap()


async def _clear(config: Config) -> Sequence[SandboxInfo]:
    async with bootstrap.open_sandboxes(config) as sandboxes:
        return [replace(each, keep=False, why="removed") for each in await sandboxes.clear()]


def _show(sandboxes: Sequence[SandboxInfo], *, as_json: bool) -> int:
    if as_json:
        print(orjson.dumps([asdict(each) for each in sandboxes], option=orjson.OPT_INDENT_2).decode())
        return 0
    rows = [
        (each.name, each.status, "kept" if each.keep else "goes", each.conversation or "-", each.why)
        for each in sandboxes
    ]
    print(columns(("sandbox", "status", "", "conversation", "why"), rows))
    return 0
