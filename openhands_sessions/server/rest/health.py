"""Probes: is the process alive, does it take new work; and what it is."""

import asyncio
import os
import resource
import shutil
from pathlib import Path

from aiohttp import web

from openhands_sessions.core.errors import AtCapacity, StorageUnavailable
from openhands_sessions.core.events.event import Json
from openhands_sessions.protocol.operators import ModelHealthOut
from openhands_sessions.server.services import services

_PAGE = resource.getpagesize()
_ALL_MEMORY = _PAGE * os.sysconf("SC_PHYS_PAGES")


async def live(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def health(request: web.Request) -> web.Response:
    return web.json_response("OK")


async def ready(request: web.Request) -> web.Response:
    operations = services(request).operations
    if not operations.accepting:
        raise AtCapacity("the server is shutting down; try again in a moment")
    if operations.draining:
        raise AtCapacity("the server is draining: it begins no session now")
    if operations.problem is not None:
        raise StorageUnavailable(operations.problem)
    return web.json_response({"status": "ok", "server": "openhands-sessions"})


async def llm(request: web.Request) -> web.Response:
    health = await services(request).model_probe.check()
    return web.json_response(ModelHealthOut.of(health).wire(), status=200 if health.problem is None else 503)


async def server_info(request: web.Request) -> web.Response:
    found = services(request)
    now = asyncio.get_running_loop().time()
    return web.json_response(
        {
            "version": found.version,
            "sessions": found.operations.live_sessions,
            "uptime": now - found.started,
            "idle_time": found.operations.idle_time(found.started),
            "resources": await asyncio.to_thread(_resources, found.data_dir, now - found.started),
        }
    )


def _resources(folder: Path, uptime: float) -> dict[str, Json]:
    """What this process uses, and the disk of its data folder. 0 for what the system does not tell."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = used.ru_utime + used.ru_stime
    virtual, resident = _memory()
    disk = shutil.disk_usage(folder)
    return {
        "cpu_seconds": seconds,
        "cpu_percent": _percent(seconds, uptime),
        "memory": {"rss": resident, "vms": virtual, "percent": _percent(resident, _ALL_MEMORY)},
        "disk": {"total": disk.total, "used": disk.used, "free": disk.free, "percent": _percent(disk.used, disk.total)},
        "io": {"read_bytes": used.ru_inblock * 512, "write_bytes": used.ru_oublock * 512},
    }


def _percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 1) if whole > 0 else 0.0


def _memory() -> tuple[int, int]:
    """Virtual and resident, in bytes."""
    try:
        virtual, resident = Path("/proc/self/statm").read_text().split()[:2]
    except OSError:
        return 0, 0
    return int(virtual) * _PAGE, int(resident) * _PAGE
