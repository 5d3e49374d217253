"""Files at rest: encrypted with a key, read in clear from before there was one."""

import pytest

from openhands_sessions.adapters.files.sealed import MARK, SealedFiles
from openhands_sessions.core.errors import StorageUnavailable
from tests.fakes.files import MemoryFiles

KEY = "correct horse battery staple"
TEXT = b'{"llm_api_key": "sk-very-secret"}'


async def test_nothing_of_the_content_is_found_on_the_disk() -> None:
    disk = MemoryFiles()
    await SealedFiles(disk, KEY).write("a", TEXT)
    kept = await disk.read("a")
    assert kept.startswith(MARK)
    assert b"secret" not in kept
    assert await SealedFiles(disk, KEY).read("a") == TEXT


async def test_what_was_written_before_there_was_a_key_is_read_and_encrypted_when_it_is_written_again() -> None:
    disk = MemoryFiles()
    await SealedFiles(disk, None).write("a", TEXT)
    assert await disk.read("a") == TEXT
    sealed = SealedFiles(disk, KEY)
    assert await sealed.read("a") == TEXT
    await sealed.write("a", TEXT)
    assert b"secret" not in await disk.read("a")


@pytest.mark.parametrize(("key", "told"), [(None, "is not set"), ("another key of ours", "another")])
async def test_without_the_right_key_it_is_said_what_is_wrong(key: str | None, told: str) -> None:
    disk = MemoryFiles()
    await SealedFiles(disk, KEY).write("a", TEXT)
    with pytest.raises(StorageUnavailable, match=rf"{told}.*") as refused:
        await SealedFiles(disk, key).read("a")
    assert "server.encryption_key" in refused.value.message


async def test_a_damaged_file_is_told_from_an_empty_one() -> None:
    disk = MemoryFiles()
    await disk.write("a", MARK + b"nonsense")
    with pytest.raises(StorageUnavailable):
        await SealedFiles(disk, KEY).read("a")
