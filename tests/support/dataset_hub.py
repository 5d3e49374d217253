"""What the Hugging Face hub answers who makes datasets and commits files to them, on loopback."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.support.loopback_site import loopback_site

TOKEN = "hf_of_the_dataset"


@dataclass
class Dataset:
    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    commits: int = 0


class DatasetHub:
    """While it runs. `refusals` is how many of the next commits it refuses. A commit that has `come` whole waits while
    `gate` is closed."""

    def __init__(self) -> None:
        self.url = ""
        self.datasets: dict[str, Dataset] = {}
        self.refusals = 0
        self.creations = 0
        self.come = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    def routes(self) -> list[web.RouteDef]:
        one = "/api/datasets/{owner}/{name}"
        return [
            web.post("/api/repos/create", self._create),
            web.get(one, self._describe),
            web.get(f"{one}/revision/{{revision}}", self._describe),
            web.post(f"{one}/preupload/{{revision}}", self._preupload),
            web.post(f"{one}/commit/{{revision}}", self._commit),
        ]

    async def _create(self, request: web.Request) -> web.Response:
        _check(request)
        self.creations += 1
        wanted = await request.json()
        assert wanted["type"] == "dataset"
        name = f"{wanted['organization']}/{wanted['name']}"
        told = {"url": f"{self.url}/datasets/{name}", "name": name}
        if name in self.datasets:
            return web.json_response({**told, "error": "You already created this dataset repo"}, status=409)
        private = wanted.get("visibility") == "private" or wanted.get("private") is True
        self.datasets[name] = Dataset(private=private)
        return web.json_response(told)

    async def _describe(self, request: web.Request) -> web.Response:
        name, found = self._named(request)
        return web.json_response({"id": name, "private": found.private, "sha": "0" * 40, "tags": [], "siblings": []})

    async def _preupload(self, request: web.Request) -> web.Response:
        self._named(request)
        files = (await request.json())["files"]
        told = [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False} for each in files]
        return web.json_response({"files": told})

    async def _commit(self, request: web.Request) -> web.Response:
        name, found = self._named(request)
        if self.refusals:
            self.refusals -= 1
            return web.json_response({"error": f"{TOKEN} may not write"}, status=403)
        lines = (await request.read()).splitlines()
        self.come.set()
        await self.gate.wait()
        for line in lines:
            entry: Mapping[str, Mapping[str, str]] = json.loads(line)
            if str(entry["key"]) == "file":
                found.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
        found.commits += 1
        oid = f"{found.commits:040x}"
        told = {"success": True, "commitOid": oid, "commitUrl": f"{self.url}/datasets/{name}/commit/{oid}"}
        return web.json_response(told)

    def _named(self, request: web.Request) -> tuple[str, Dataset]:
        _check(request)
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        if name not in self.datasets:
            raise web.HTTPNotFound(headers={"X-Error-Code": "RepoNotFound"}, text="Repository not found")
        return name, self.datasets[name]


def _check(request: web.Request) -> None:
    if request.headers.get("Authorization") != f"Bearer {TOKEN}":
        raise web.HTTPUnauthorized(text="Invalid credentials")


@asynccontextmanager
async def dataset_hub() -> AsyncIterator[DatasetHub]:
    hub = DatasetHub()
    async with loopback_site(hub.routes()) as hub.url:
        yield hub
