"""`store.kind = memory` keeps conversations for as long as the process lives."""

import tempfile
from pathlib import Path

import pytest

from openhands_sessions.bootstrap import open_application
from openhands_sessions.config.config import Config
from openhands_sessions.core.ids import LOCAL_OWNER
from tests.support.store_entries import TALK, row


async def test_what_is_kept_in_memory_is_gone_with_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    config = Config.model_validate({"data_dir": tmp_path / "data", "store": {"kind": "memory"}})
    async with open_application(config) as first:
        await first.store.conversations.create(row(TALK, owner=LOCAL_OWNER))
        assert await first.store.conversations.get(TALK) is not None
        [folder] = place.iterdir()
        assert folder.stat().st_mode & 0o077 == 0
    assert list(place.iterdir()) == []
    async with open_application(config) as second:
        assert await second.store.conversations.get(TALK) is None
