"""What guests do in a storm: conversations are shared by links, visited, and taken back."""

import asyncio
from collections import Counter
from random import Random

import aiohttp

from tests.support.server_clients import Clients
from tests.support.socket_connection import ConnectionCut, ConnectionRefused


class StormGuests:
    """The links of all conversations. `ends` counts what guests were told when their links were revoked."""

    def __init__(self, random: Random, faults: list[str], accepted: dict[str, set[str]]) -> None:
        self.ends: Counter[str] = Counter()
        self._random = random
        self._faults = faults
        self._accepted = accepted
        self._number = 0
        self._links: dict[str, dict[str, str]] = {}
        """The tokens of each conversation's links, by their ids."""

    async def share(self, clients: Clients, sid: str) -> None:
        """Make a link, and now and then list them."""
        body = {"permission": self._random.choice(["view", "write"]), "hours": self._random.choice([1, 24])}
        status, answer = await clients.rest.ask("POST", f"/api/conversations/{sid}/links", body)
        if status == 201:
            self._links.setdefault(sid, {})[answer["id"]] = answer["token"]
        elif status != 429:  # as many as may be
            self._faults.append(f"share: {status} {answer}")
        if self._random.random() < 0.2:
            status, answer = await clients.rest.ask("GET", f"/api/conversations/{sid}/shares")
            if status != 200 or not {each["id"] for each in answer["links"]} >= self._links.get(sid, {}).keys():
                self._faults.append(f"share: {status} {answer}")

    async def revoke(self, clients: Clients, sid: str) -> None:
        """Revoke a link, twice at once: it is there once."""
        links = self._links.get(sid, {})
        if links:
            link = self._random.choice([*links])
            del links[link]
            path = f"/api/conversations/{sid}/links"
            answers = await asyncio.gather(*(clients.rest.ask("DELETE", path, None, link=link) for _ in range(2)))
            if sorted(status for status, _ in answers) != [200, 404]:
                self._faults.append(f"revoke: {answers}")

    async def visit(self, clients: Clients, sid: str) -> None:
        """Come by a link of any conversation, say something, and perhaps have the link revoked meanwhile."""
        if not self._links.get(sid):
            await self.share(clients, sid)
        place = self._random.choice([*self._links] or [sid])
        links = self._links.get(place, {})
        if not links:
            return
        link = self._random.choice([*links])
        async with Clients(clients.rest.url, key=links[link]) as guest:
            client = guest.protocol2(place)
            try:
                await client.connect()
                self._number += 1
                key = f"guest-{self._number}"
                if (await client.command("message", key=key, content="work"))["ok"]:
                    self._accepted[place].add(key)
                if self._random.random() < 0.5 and links.pop(link, None) is not None:
                    path = f"/api/conversations/{place}/links"
                    status, answer = await clients.rest.ask("DELETE", path, None, link=link)
                    if status != 200:
                        self._faults.append(f"visit: {status} {answer}")
                    await client.until_gone()
                    if (await guest.rest.ask("GET", f"/api/conversations/{place}/events"))[0] != 401:
                        self._faults.append("visit: a link that was revoked counts")
                    self.ends[dict(client.others).get("ended", {}).get("reason", "nothing")] += 1
            except (ConnectionCut, ConnectionRefused, aiohttp.ClientError):
                pass  # the conversation was closed, or the link revoked, just then
            self._faults += client.faults
