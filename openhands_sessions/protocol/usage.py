"""What users have used, over REST. Money is in micro-dollars, millionths of a US dollar."""

from datetime import date

from openhands_sessions.core.ids import OwnerId
from openhands_sessions.core.quotas import Quota, Share
from openhands_sessions.ports.accounts import AccountEntry
from openhands_sessions.ports.usage import QuotaState, UsageReport
from openhands_sessions.protocol.payloads import Reply, Timestamp


class UsageEntryOut(Reply):
    """What calls of one model for one purpose have used on one day, UTC. Of the `calls`, `lost` ones had no reply, and
    the price of `unpriced` ones is not known."""

    day: date
    model: str
    purpose: str
    calls: int
    lost: int
    prompt_tokens: int
    completion_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    micro_dollars: int
    unpriced: int


class ShareOut(Reply):
    """A part of a quota; null where the quota does not limit it."""

    tokens: int | None
    micro_dollars: int | None
    conversations: int | None


class QuotaOut(Reply):
    """A quota of today: its `limit`, and what is `taken` of it."""

    models: str
    limit: ShareOut
    taken: ShareOut
    resets_at: Timestamp

    @classmethod
    def of(cls, state: QuotaState) -> "QuotaOut":
        quota, taken = state.quota, state.taken
        limit = ShareOut(tokens=quota.tokens, micro_dollars=quota.micro_dollars, conversations=quota.conversations)
        told = ShareOut(
            tokens=None if quota.tokens is None else taken.tokens,
            micro_dollars=None if quota.micro_dollars is None else taken.micro_dollars,
            conversations=None if quota.conversations is None else taken.conversations,
        )
        return cls(models=quota.models, limit=limit, taken=told, resets_at=state.resets_at)

    def state(self) -> QuotaState:
        limit, taken = self.limit, self.taken
        quota = Quota(
            models=self.models,
            tokens=limit.tokens,
            micro_dollars=limit.micro_dollars,
            conversations=limit.conversations,
        )
        share = Share(
            tokens=taken.tokens or 0, micro_dollars=taken.micro_dollars or 0, conversations=taken.conversations or 0
        )
        return QuotaState(quota, share, self.resets_at)


class UsageOut(Reply):
    """The account of one user, by day, model and purpose, and the user's quotas."""

    user: str
    entries: list[UsageEntryOut]
    quotas: list[QuotaOut]

    @classmethod
    def of(cls, report: UsageReport) -> "UsageOut":
        entries = [UsageEntryOut.model_validate(each, from_attributes=True) for each in report.entries]
        return cls(user=report.user, entries=entries, quotas=[QuotaOut.of(state) for state in report.quotas])

    def report(self) -> UsageReport:
        entries = [AccountEntry(**dict(each)) for each in self.entries]
        return UsageReport(OwnerId(self.user), entries, [each.state() for each in self.quotas])
