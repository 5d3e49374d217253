"""Who else has a sandbox open."""

from pathlib import Path

from openhands_sessions.adapters.runtimes.local.file_lock import FileLock


def test_who_has_it_open_is_seen_by_others_and_may_rest_it_alone(tmp_path: Path) -> None:
    mine, theirs = FileLock(tmp_path / "open"), FileLock(tmp_path / "open")
    mine.take()
    with mine.alone() as alone:
        assert alone
    assert mine.taken
    with theirs.alone() as alone:
        assert not alone
    mine.release()
    with theirs.alone() as alone:
        assert alone


def test_two_that_have_it_open_leave_each_other_alone(tmp_path: Path) -> None:
    mine, theirs = FileLock(tmp_path / "open"), FileLock(tmp_path / "open")
    mine.take()
    theirs.take()
    with mine.alone() as alone:
        assert not alone
    assert mine.taken
    mine.release()
    theirs.release()


def test_one_that_loses_it_for_a_moment_knows(tmp_path: Path) -> None:
    mine, theirs = FileLock(tmp_path / "open"), FileLock(tmp_path / "open")
    mine.take()
    with mine.alone():
        pass
    mine.release()
    with theirs.alone() as alone:
        assert alone
        with mine.alone() as also:
            assert not also
    assert not mine.taken


def test_a_folder_that_is_not_there_is_open_to_nobody(tmp_path: Path) -> None:
    with FileLock(tmp_path / "nothing" / "open").alone() as alone:
        assert alone
