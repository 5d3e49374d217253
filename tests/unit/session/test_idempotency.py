"""The digest of a command is that of every version: receipts outlive the server that has written them."""

import pytest

from openhands_sessions.core.commands import Command, EditQueued, Pause, RemoveQueued, Resume, SendMessage, Stop
from openhands_sessions.core.history_commands import Compact, GoBack, SwitchBranch
from openhands_sessions.core.ids import EventId
from openhands_sessions.session.idempotency import IdempotencyKey


@pytest.mark.parametrize(
    ("command", "digest"),
    [
        (SendMessage(content="hi"), "c281c6ac7ff90436"),
        (SendMessage(content="hi", mode="queue"), "de102c12353c1579"),
        (Pause(), "d523405534fcd37b"),
        (Stop(), "89f5203a2cf85775"),
        (Resume(), "9da62f4593660989"),
        (EditQueued(queued=EventId(3), content="x"), "a0be4f71b18320f6"),
        (RemoveQueued(queued=EventId(3)), "b0c17510e0171e16"),
        (GoBack(message=EventId(3)), "e077a9059435eba9"),
        (SwitchBranch(branch="side"), "7d3240e9251cb3eb"),
        (Compact(), "7ccefa522fef413f"),
    ],
)
def test_a_command_has_the_digest_that_receipts_of_version_0_1_have(command: Command, digest: str) -> None:
    assert IdempotencyKey.of("k", command).digest.startswith(digest)


def test_a_message_for_another_agent_is_another_command() -> None:
    assert (
        IdempotencyKey.of("k", SendMessage(content="hi", agent="b")).digest
        != IdempotencyKey.of("k", SendMessage(content="hi")).digest
    )
