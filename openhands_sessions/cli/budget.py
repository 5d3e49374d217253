"""`sessions budget`, and `/budget` of a chat: what calls of a conversation may cost without a question."""

from openhands_sessions.cli.output import print_json
from openhands_sessions.cli.sessions import ConversationsTarget, find
from openhands_sessions.core.call_prices import HIGHEST_PRICE
from openhands_sessions.core.commands import SetBudget
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.money import dollars_told, micro_dollars
from openhands_sessions.ports.access import Access
from openhands_sessions.ports.gateway import BudgetInfo

OFF = "off"


def budget(target: ConversationsTarget, sid: str, amount: str | None, *, as_json: bool) -> int:
    """Print the budget of a conversation, after it was set where an amount is given."""
    command = None if amount is None else budget_command(amount)
    info = target.ask(lambda access: _set(access, sid, command))
    if as_json:
        names = ("dollars", "spent", "reserved", "rest")
        print_json(None if info is None else {name: getattr(info, name) for name in names})
    else:
        print(budget_told(info))
    return 0


def budget_command(amount: str) -> SetBudget:
    """The command for an amount as a user writes it: US dollars, or `off`. Raises BadInput."""
    if amount.strip().lower() == OFF:
        return SetBudget(None)
    try:
        dollars = float(amount.strip().removeprefix("$"))
    except ValueError:
        dollars = -1.0
    cap = micro_dollars(dollars)
    if cap is None or dollars > HIGHEST_PRICE:
        problem = f"must be a number of US dollars from 0 to {HIGHEST_PRICE:,.0f}, or {OFF}"
        raise BadInput(f"the budget {amount!r}", problem)
    return SetBudget(cap)


def budget_told(info: BudgetInfo | None) -> str:
    """A budget in words."""
    if info is None:
        return "The auto-approval budget is not known until the conversation is opened."
    used = f"{_told(info.spent)} spent, {_told(info.reserved)} reserved"
    if info.dollars is None:
        return f"The auto-approval budget is off; {used}."
    return f"The auto-approval budget is {_told(info.dollars)}: {used}, {_told(info.rest)} left."


def _told(amount: float) -> str:
    return dollars_told(micro_dollars(amount) or 0)


async def _set(access: Access, sid: str, command: SetBudget | None) -> BudgetInfo | None:
    found = await find(access, sid)
    if command is None:
        return found.budget
    await access.gateway.submit(found.id, command)
    return (await access.gateway.describe(found.id)).budget
