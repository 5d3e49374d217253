"""The usage reports that a server gives, here or from afar."""

from openhands_sessions.core.commands import SendMessage
from openhands_sessions.core.ids import LOCAL_OWNER, OwnerId
from openhands_sessions.core.quotas import Quota, Share
from openhands_sessions.ports.usage import UsageReport
from tests.support.gateway_kinds import IDLE, SID, Kind, new
from tests.support.in_process_server import read


async def test_what_calls_have_used_and_what_quotas_leave_is_told(kind: Kind) -> None:
    assert await kind.usage.report() == UsageReport(LOCAL_OWNER, [], (await kind.usage.report()).quotas)
    await new(kind.gateway, llm_model="scripted:demo")
    accepted = await kind.gateway.submit(SID, SendMessage(content="hello"))
    await read(kind.gateway, SID, accepted.id, IDLE)
    report = await kind.usage.report(days=2)
    main = next(entry for entry in report.entries if entry.purpose == "main")
    assert (main.model, main.lost, main.micro_dollars) == ("scripted:demo", 0, 0)
    assert main.calls >= 1
    [quota] = report.quotas
    assert quota.quota == Quota(models="scripted:*", tokens=1_000_000, conversations=9)
    assert quota.taken == Share(tokens=quota.taken.tokens, micro_dollars=0, conversations=1)
    assert quota.taken.tokens >= main.prompt_tokens + main.completion_tokens
    assert (await kind.usage.report(OwnerId("ada"))).entries == []
