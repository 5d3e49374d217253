"""`usage` and `quota`: what a user's model calls have used, and what the user's quotas leave."""

from collections.abc import Sequence
from dataclasses import asdict

from openhands_sessions.cli.output import clean, columns, print_json
from openhands_sessions.cli.sessions import ConversationsTarget
from openhands_sessions.core.ids import OwnerId
from openhands_sessions.core.money import dollars_told
from openhands_sessions.ports.accounts import AccountEntry
from openhands_sessions.ports.usage import QuotaState, UsageReport

HEADER = ("day", "model", "purpose", "calls", "without reply", "read", "from cache", "written", "cost")


def usage(target: ConversationsTarget, user: str | None, days: int, *, as_json: bool) -> int:
    """Print what was used, by day, model and purpose, and in all."""
    report = _report(target, user, days)
    if as_json:
        print_json([asdict(entry) for entry in report.entries])
        return 0
    lines = [*map(_line, report.entries), ("all", "", "", *_figures(report.entries))]
    print(columns(HEADER, lines))
    return 0


def quota(target: ConversationsTarget, user: str | None, *, as_json: bool) -> int:
    """Print each quota, what is taken of it, and when it begins anew."""
    report = _report(target, user, 1)
    if as_json:
        print_json([asdict(state) for state in report.quotas])
    elif report.quotas:
        print(
            columns(("models", "taken", "of", "begins anew"), [line for one in report.quotas for line in _lines(one)])
        )
    else:
        print("no quota is configured")
    return 0


def _report(target: ConversationsTarget, user: str | None, days: int) -> UsageReport:
    return target.ask(lambda access: access.usage.report(None if user is None else OwnerId(user), days=days))


def _line(entry: AccountEntry) -> Sequence[str]:
    return (entry.day.isoformat(), clean(entry.model), entry.purpose, *_figures([entry]))


def _figures(entries: Sequence[AccountEntry]) -> Sequence[str]:
    names = ("calls", "lost", "prompt_tokens", "cache_read_tokens", "completion_tokens", "unpriced", "micro_dollars")
    calls, lost, read, cached, written, unpriced, cost = (sum(getattr(one, name) for one in entries) for name in names)
    unknown = f" and {unpriced} without a known price" if unpriced else ""
    return (str(calls), str(lost), f"{read:,}", f"{cached:,}", f"{written:,}", f"{dollars_told(cost)}{unknown}")


def _lines(state: QuotaState) -> Sequence[Sequence[str]]:
    quota, taken, anew = state.quota, state.taken, f"{state.resets_at:%Y-%m-%d %H:%M} UTC"
    lines: list[Sequence[str]] = []
    if quota.tokens is not None:
        lines.append((clean(quota.models), f"{taken.tokens:,}", f"{quota.tokens:,} tokens", anew))
    if quota.micro_dollars is not None:
        lines.append((clean(quota.models), dollars_told(taken.micro_dollars), dollars_told(quota.micro_dollars), anew))
    if quota.conversations is not None:
        lines.append((clean(quota.models), f"{taken.conversations:,}", f"{quota.conversations:,} conversations", anew))
    return lines
