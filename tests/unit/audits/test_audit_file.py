"""The audit log as a file: every record once, in order, in files that do not grow for ever."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from openhands_sessions.adapters import audit_file
from openhands_sessions.adapters.audit_file import AuditFile, open_audit_file
from openhands_sessions.core.ids import ConversationId, OwnerId
from tests.support.store_entries import NOW

ADA, TALK = OwnerId("ada"), ConversationId("talk")


def records(*files: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def note(audit: AuditFile, number: int) -> None:
    audit.record(NOW, ADA, "send_message", TALK, event=number)


async def test_a_record_says_who_did_what_to_which_conversation_and_when(tmp_path: Path) -> None:
    path = tmp_path / "new" / "audit.jsonl"
    async with open_audit_file(path, file_bytes=10_000, files=2) as audit:
        audit.record(NOW, ADA, "shared", TALK, user="bob\n", permission="view")
    assert records(path) == [
        {
            "event": "audit",
            "at": "2025-01-31T12:30:01.234567+00:00",
            "user": "ada",
            "action": "shared",
            "conversation": "talk",
            "details": {"user": "bob\n", "permission": "view"},
        }
    ]
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


async def test_a_file_that_is_full_is_put_aside_and_the_oldest_removed(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for run in range(6):
        async with open_audit_file(path, file_bytes=1_024, files=3) as audit:
            for number in range(run * 10, run * 10 + 10):
                note(audit, number)
    aside = [tmp_path / f"audit.jsonl.{number}" for number in (2, 1)]
    assert not (tmp_path / "audit.jsonl.3").exists()
    assert [record["event"] for record in records(*aside)] == ["audit"] * 20
    assert len(list(tmp_path.iterdir())) <= 3


async def test_of_one_file_alone_nothing_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    for _ in range(2):
        async with open_audit_file(path, file_bytes=1_024, files=1) as audit:
            for number in range(20):
                note(audit, number)
    assert [*tmp_path.iterdir()] == []


async def test_two_servers_of_one_file_lose_no_record(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    async with (
        open_audit_file(path, file_bytes=2_000, files=500) as one,
        open_audit_file(path, file_bytes=2_000, files=500) as two,
    ):
        for number in range(200):
            note(one, number)
            note(two, 1_000 + number)
            if number % 10 == 0:
                await asyncio.sleep(0.001)
    files = [*tmp_path.iterdir()]
    assert len(files) > 2
    kept = sorted(record["details"]["event"] for record in records(*files))
    assert kept == [*range(200), *range(1_000, 1_200)]


async def test_what_the_disk_cannot_keep_up_with_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_file, "MOST_WAITING", 5)
    path = tmp_path / "audit.jsonl"
    async with open_audit_file(path, file_bytes=10_000, files=2) as audit:
        for number in range(12):
            note(audit, number)
    *kept, lost = records(path)
    assert ([record["details"]["event"] for record in kept], lost["records"]) == ([0, 1, 2, 3, 4], 7)


async def test_a_disk_that_refuses_costs_records_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "there"
    audit = AuditFile(folder / "audit.jsonl", file_bytes=10_000, files=2)
    audit.close()  # so that it stops when nothing waits
    with capture_logs() as lines:
        note(audit, 1)
        await audit.write_all()
    assert lines[0]["event"] == "the audit log cannot be written"
    folder.mkdir()
    note(audit, 2)
    await audit.write_all()
    assert [record.get("records") for record in records(folder / "audit.jsonl")] == [None, 1]
