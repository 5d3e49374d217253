"""A session file is on the disk as a whole, for its owner only, and encrypted where a key is given."""

import stat
from pathlib import Path
from random import Random

import pytest

from openhands_sessions.adapters.session_files import SEALED, read_session_file, write_session_file
from openhands_sessions.core.errors import BadInput, CorruptSession, NotFound, StorageUnavailable, UnsafeFormat
from openhands_sessions.core.session_file import read_file
from tests.support.seeds import printed_seed

CONTENT = b'{"sum":"' + b"x" * 500


def test_a_file_is_for_its_owner_and_the_one_before_stays_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "session.pkl"
    write_session_file(file, b"one", None)
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"one", 0o600)
    write_session_file(file, b"two", None)
    write_session_file(file, b"three", None)
    assert sorted(each.name for each in file.parent.iterdir()) == ["session.pkl", "session.pkl.bak"]
    assert (file.read_bytes(), file.with_name("session.pkl.bak").read_bytes()) == (b"three", b"two")


def test_a_file_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "taken"
    folder.mkdir()
    with pytest.raises(StorageUnavailable):
        write_session_file(folder, b"x", None)
    assert [each.name for each in tmp_path.iterdir()] == ["taken"]


def test_an_encrypted_file_shows_nothing_and_opens_with_its_key_alone(tmp_path: Path) -> None:
    file = tmp_path / "s"
    write_session_file(file, CONTENT, "open sesame")
    assert b"xxxx" not in file.read_bytes()
    assert read_session_file(file, "open sesame") == CONTENT
    with pytest.raises(UnsafeFormat, match="key"):
        read_session_file(file, None)
    with pytest.raises(CorruptSession):
        read_session_file(file, "another")
    with pytest.raises(BadInput):
        read_session_file(file, "")


def test_cuts_and_flipped_bits_of_an_encrypted_file_are_noticed(tmp_path: Path) -> None:
    file, rng = tmp_path / "s", Random(printed_seed())
    write_session_file(file, CONTENT, "k")
    whole = file.read_bytes()
    for place in [*range(len(SEALED)), *rng.sample(range(len(SEALED), len(whole)), 30)]:
        changed = bytearray(whole)
        changed[place] ^= 1 << rng.randrange(8)
        for damaged in (whole[:place], bytes(changed)):
            file.write_bytes(damaged)
            with pytest.raises((CorruptSession, UnsafeFormat)):
                read_file(read_session_file(file, "k"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="gone"):
        read_session_file(tmp_path / "gone", None)
