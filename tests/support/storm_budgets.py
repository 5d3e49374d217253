"""What owners do in a storm with auto-approval budgets: they are set over every transport, and read."""

from collections.abc import Sequence
from random import Random

import aiohttp

from openhands_sessions.config.lists import PriceSection
from openhands_sessions.core.events.budget import BudgetReservedAction
from openhands_sessions.core.events.event import Event
from tests.support.server_clients import Clients
from tests.support.socket_connection import ConnectionCut, ConnectionRefused

PRICES = (
    PriceSection(tool="execute_bash", pattern="echo x*", dollars=0.75),
    PriceSection(tool="execute_bash", pattern="echo y*", dollars=0.4),
    PriceSection(tool="execute_bash", pattern="true", dollars=0),
)
"""What the commands of the storm's script cost; everything else has no price."""
MOST = 4.0
"""US dollars that a budget has at most: a few commands."""
SET = {200, 409, 429}
SHOWN = ("spent", "reserved", "rest")


class StormBudgets:
    """The budgets of all conversations. What is answered wrongly is added to `faults`; `reserved` counts the calls that
    ran, or were to run, within a budget."""

    def __init__(self, random: Random, faults: list[str]) -> None:
        self.reserved = 0
        self._random = random
        self._faults = faults
        self._number = 0

    async def put(self, clients: Clients, sid: str) -> None:
        """Set it over REST, perhaps twice at one key: the second is the same event."""
        self._number += 1
        body = {"dollars": self._amount(), "key": f"budget-{self._number}"}
        answers = [
            await clients.rest.ask("PUT", f"/api/conversations/{sid}/budget", body)
            for _ in range(self._random.choice([1, 1, 2]))
        ]
        self._faults += [f"put: {status} {answer}" for status, answer in answers if status not in SET]
        told = [answer for status, answer in answers if status == 200]
        if any(answer != told[0] for answer in told):
            self._faults.append(f"put: one key is answered in two ways: {told}")

    async def post(self, clients: Clients, sid: str) -> None:
        """Set it by a command over REST."""
        body = {"action": "set_budget", "args": {"dollars": self._amount()}}
        status, answer = await clients.rest.ask("POST", f"/api/conversations/{sid}/events", body)
        if status not in SET:
            self._faults.append(f"post: {status} {answer}")

    async def speak(self, clients: Clients, sid: str) -> None:
        """Set it over the socket."""
        client = clients.protocol2(sid)
        try:
            await client.connect()
            await client.command("set_budget", dollars=self._amount())
        except (ConnectionCut, ConnectionRefused, aiohttp.ClientError):
            pass  # the conversation was closed just then
        finally:
            await client.leave()
        self._faults += client.faults

    async def look(self, clients: Clients, sid: str) -> None:
        """Read it: no amount is below nothing."""
        budget = (await clients.rest.describe(sid))["session"]["budget"]
        if budget is not None and min(budget[name] for name in SHOWN) < 0:
            self._faults.append(f"budget: {budget}")

    def count(self, events: Sequence[Event]) -> None:
        """Take in the log of a conversation, once all has ended."""
        self.reserved += sum(len(event.calls) for event in events if isinstance(event, BudgetReservedAction))

    def _amount(self) -> float | None:
        return self._random.choice([None, 0, round(self._random.random() * MOST, 2), MOST])
