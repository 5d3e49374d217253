"""The auto-approval budget of a conversation: how it is set, and how it is shown."""

from typing import Annotated, Literal

from pydantic import Field

from openhands_sessions.core.call_prices import HIGHEST_PRICE
from openhands_sessions.core.commands import SetBudget
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.money import dollars, micro_dollars
from openhands_sessions.ports.gateway import BudgetInfo
from openhands_sessions.protocol.history import Key
from openhands_sessions.protocol.payloads import Message, Payload, Reply

Dollars = Annotated[float, Field(ge=0, le=HIGHEST_PRICE, allow_inf_nan=False, strict=True)]


class BudgetArgs(Message):
    """US dollars that calls with a known price may cost in all without a question; null turns the budget off."""

    dollars: Dollars | None

    def command(self) -> SetBudget:
        return SetBudget(None if self.dollars is None else micro_dollars(self.dollars))


class SetBudgetIn(Message):
    """A `set_budget` from a client: the auto-approval budget of this conversation from now on, also during a turn."""

    action: Literal["set_budget"]
    args: BudgetArgs
    key: Key | None = None


class BudgetIn(Payload):
    """Body of `PUT /api/conversations/{id}/budget`. The same `key` again changes nothing twice."""

    dollars: Dollars | None
    key: Key | None = None

    def command(self) -> SetBudget:
        return BudgetArgs(dollars=self.dollars).command()


class BudgetSetOut(Reply):
    """The auto-approval budget, null for none, as event `id` says."""

    id: int
    dollars: float | None


class BudgetOut(Reply):
    """The auto-approval budget, all in US dollars: what calls may cost in all (null while it is off), what those that
    ran have cost, what is reserved for calls that run or are about to, and what is left."""

    dollars: float | None
    spent: float
    reserved: float
    rest: float

    def info(self) -> BudgetInfo:
        return BudgetInfo(dollars=self.dollars, spent=self.spent, reserved=self.reserved, rest=self.rest)


def budget_wire(command: SetBudget) -> dict[str, Json]:
    """`args` of the command as a client sends it. Built without validation: the server validates it."""
    return {"dollars": None if command.micro_dollars is None else dollars(command.micro_dollars)}
