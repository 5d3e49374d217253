"""The journal tells the truth after any end of the program, and does not grow for ever."""

import os
from pathlib import Path

import pytest

from openhands_sessions.adapters.runtimes.executor_client.journal import NotInJournal, recorded_outcome
from openhands_sessions.core.errors import RuntimeUnavailable
from openhands_sessions.executor import journal as module
from openhands_sessions.executor.journal import DONE, FORGOTTEN, Journal, Outcome
from openhands_sessions.executor.server import OwnerTerms
from openhands_sessions.ports.runtime import CommandDone, Lost


def outcome(output: str) -> Outcome:
    return {"kind": "command", "output": output, "exit_code": 0, "ended": "exit"}


def test_what_was_written_is_known_to_the_next(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    first.start("a")
    first.finish("a", outcome("ä\n\0"))
    first.start("b")
    first.close()
    second = Journal(tmp_path)
    assert (second.state("a"), second.state("b"), second.state("c")) == (DONE, FORGOTTEN, None)
    assert second.outcome("a") == outcome("ä\n\0")
    second.finish("b", outcome("late"))
    assert second.outcome("b") == outcome("late")
    second.close()


@pytest.mark.parametrize("torn", [b"{", b'{"key":"b","state":"done","outcome":{"out', b"\0\0\0"])
def test_a_line_that_a_crash_tore_is_cut_off(tmp_path: Path, torn: bytes) -> None:
    first = Journal(tmp_path)
    first.start("a")
    first.close()
    with (tmp_path / "journal").open("ab") as file:
        file.write(torn)
    second = Journal(tmp_path)
    second.finish("a", outcome("x"))
    second.close()
    third = Journal(tmp_path)
    assert third.outcome("a") == outcome("x")
    assert third.state("b") is None
    third.close()


def test_a_line_that_is_not_ours_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(b'nonsense\n{"key":"a","state":"running"}\n[]\n')
    journal = Journal(tmp_path)
    assert journal.state("a") == FORGOTTEN
    journal.close()


def test_a_large_journal_is_compacted_and_forgets_old_outcomes(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    size = module.COMPACT_BYTES // 40
    for number in range(45):
        journal.start(f"k-{number}")
        journal.finish(f"k-{number}", outcome("x" * size))
    journal.start("open")
    kept = [number for number in range(45) if journal.state(f"k-{number}") == DONE]
    assert (tmp_path / "journal").stat().st_size < module.COMPACT_BYTES
    assert kept == list(range(45 - len(kept), 45))
    assert len(kept) >= module.BYTES_KEPT // (size + 200)
    assert journal.state("k-0") == FORGOTTEN
    assert journal.outcome("k-44") == outcome("x" * size)
    journal.close()
    again = Journal(tmp_path)
    assert again.name == journal.name
    assert [number for number in range(45) if again.state(f"k-{number}") == DONE] == kept
    assert (again.state("k-0"), again.state("open")) == (FORGOTTEN, FORGOTTEN)
    again.close()


def test_the_journal_can_be_read_without_its_executor(tmp_path: Path) -> None:
    assert recorded_outcome(tmp_path, "a") is None
    journal = Journal(tmp_path)
    journal.start("a")
    journal.start("b")
    journal.finish("b", outcome("x"))
    journal.finish("never", outcome(""))
    journal.close()
    with (tmp_path / "journal").open("ab") as file:
        file.write(b'{"key":"c","state":"running"')
    assert recorded_outcome(tmp_path, "a") == Lost()
    assert recorded_outcome(tmp_path, "b") == CommandDone(output="x", exit_code=0)
    assert recorded_outcome(tmp_path, "c") == NotInJournal(journal.name)
    assert recorded_outcome(tmp_path, "outcome") == NotInJournal(journal.name)


def test_a_journal_keeps_its_name_and_one_in_its_place_has_another(tmp_path: Path) -> None:
    names = []
    for _ in range(2):
        journal = Journal(tmp_path)
        names.append(journal.name)
        journal.start("a")
        journal.close()
        assert recorded_outcome(tmp_path, "b") == NotInJournal(journal.name)
    (tmp_path / "journal").write_bytes(b"")
    emptied = Journal(tmp_path)
    emptied.close()
    assert names == [names[0]] * 2 != [emptied.name] * 2


@pytest.mark.parametrize("lie", ["[]", '{"kind":"command"}', '{"kind":"edit","ok":1}', "7"])
def test_a_journal_that_lies_is_not_believed(tmp_path: Path, lie: str) -> None:
    (tmp_path / "journal").write_text(f'{{"key":"a","state":"done","outcome":{lie}}}\n')
    with pytest.raises(RuntimeUnavailable):
        recorded_outcome(tmp_path, "a")


def test_a_journal_that_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "journal")
    with pytest.raises(RuntimeUnavailable):
        recorded_outcome(tmp_path, "a")
    (tmp_path / "journal").unlink()
    (tmp_path / "journal").symlink_to("/etc/hostname")
    with pytest.raises(RuntimeUnavailable):
        recorded_outcome(tmp_path, "a")


def test_the_highest_term_outlives_the_executor(tmp_path: Path) -> None:
    fence = OwnerTerms(tmp_path)
    assert fence.admit(3)
    assert fence.admit(3)
    assert not fence.admit(2)
    again = OwnerTerms(tmp_path)
    assert not again.admit(2)
    assert again.admit(4)
    assert not fence.admit(3)  # it reads again the term that another process has raised
