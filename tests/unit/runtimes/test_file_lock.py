"""Who else has a sandbox open."""

from pathlib import Path

from openhands_sessions.adapters.runtimes.local.paths import FileLock


def test_who_has_it_open_is_seen_by_others_and_may_rest_it_alone(tmp_path: Path) -> None:
    mine, theirs = FileLock(tmp_path / "open"), FileLock(tmp_path / "open")
    mine.acquire()
    with mine.exclusive() as exclusive:
        assert exclusive
    assert mine.held
    with theirs.exclusive() as exclusive:
        assert not exclusive
    mine.release()
    with theirs.exclusive() as exclusive:
        assert exclusive


def test_two_that_have_it_open_leave_each_other_alone(tmp_path: Path) -> None:
    mine, theirs = FileLock(tmp_path / "open"), FileLock(tmp_path / "open")
    mine.acquire()
    theirs.acquire()
    with mine.exclusive() as exclusive:
        assert not exclusive
    assert mine.held
    mine.release()
    theirs.release()


def test_one_that_loses_it_for_a_moment_knows(tmp_path: Path) -> None:
    mine, theirs = FileLock(tmp_path / "open"), FileLock(tmp_path / "open")
    mine.acquire()
    with mine.exclusive():
        pass
    mine.release()
    with theirs.exclusive() as exclusive:
        assert exclusive
        with mine.exclusive() as also:
            assert not also
    assert not mine.held


def test_a_folder_that_is_not_there_is_not_locked_by_any_process(tmp_path: Path) -> None:
    with FileLock(tmp_path / "nothing" / "open").exclusive() as exclusive:
        assert exclusive
