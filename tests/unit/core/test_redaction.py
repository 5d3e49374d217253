"""No secret can be read out of what is shown, written or given away, in whatever form it came; code stays as it is."""

import io
import random
import sqlite3
import sysconfig
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
import structlog

from openhands_sessions.adapters.models.failures import reason
from openhands_sessions.adapters.stores.sqlite import open_sqlite
from openhands_sessions.cli import logs
from openhands_sessions.core.errors import BadInput
from openhands_sessions.core.events.actions import MessageAction
from openhands_sessions.core.events.event import Event, Source
from openhands_sessions.core.events.observations import ErrorObservation, RunObservation
from openhands_sessions.core.ids import ConversationId, OwnerId
from openhands_sessions.core.masking import MASK, SecretMasker, StreamMasker, TextMasker, session_masker
from openhands_sessions.executor.capture import OutputCapture
from openhands_sessions.ports.store import ConversationRow
from openhands_sessions.protocol.errors import Acknowledgement, BareError, ErrorOut, Refusal
from openhands_sessions.session.event_stream import EventStream
from openhands_sessions.session.feed import Feed
from tests.support.secret_placements import CODE, Placement, placement, told

PLACED = [placement(random.Random(seed)) for seed in range(1000)]
KNOWN = [one.secret for one in PLACED if one.known]
MASKER = SecretMasker(KNOWN)
TALK, NOW = ConversationId("talk"), datetime(2026, 1, 1, tzinfo=UTC)
KINDS: Sequence[Callable[[str], Event]] = (
    lambda text: RunObservation(content=text, command=text),
    lambda text: ErrorObservation(content=f"it failed: {text}"),
    lambda text: MessageAction(source=Source.USER, content=text),
)


def leaks(text: str, placed: Sequence[Placement] = PLACED) -> list[Placement]:
    return [one for one in placed if told(text, one.secret)]


def test_each_placement_tells_its_secret_before_it_is_masked() -> None:
    assert [one for one in PLACED if not told(one.text, one.secret)] == []


def test_no_text_tells_a_secret() -> None:
    assert [one for one in PLACED if leaks(MASKER.text(one.text), [one])] == []


def test_no_stream_tells_a_secret_wherever_it_is_cut() -> None:
    of = random.Random(7)
    for one in PLACED:
        stream, text = StreamMasker(MASKER), f"{one.text}\nthe end of it. \n"
        cuts = sorted(of.choices(range(len(text)), k=of.randint(0, 9)))
        pieces = [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]
        shown = "".join([stream.feed(piece) for piece in pieces]) + MASKER.text(stream.held)
        assert not leaks(shown, [one]), (one, pieces)


def test_no_output_tells_a_secret_where_its_middle_is_left_out() -> None:
    of = random.Random(8)
    for one in PLACED:
        if not one.known:  # what is left of an unknown token may look like any word
            continue
        before = "x" * of.randint(0, 30)
        capture = OutputCapture(len(before) + of.randint(4, len(one.text)), of.randint(4, len(one.text)))
        capture.add(f"{before} {one.text}{' y' * 500}{one.text}".encode())
        shown, _ = capture.text(MASKER)
        assert not leaks(shown, [one]), (one, shown)


async def test_neither_the_database_nor_an_export_tells_a_secret(tmp_path: Path) -> None:
    async with open_sqlite(tmp_path / "sessions.db") as store:
        await store.conversations.create(ConversationRow(id=TALK, owner=OwnerId("ada"), created_at=NOW, updated_at=NOW))
        term = await store.claim(TALK)
        stream = EventStream(store.log(TALK), Feed(store.log(TALK)), lambda: NOW, MASKER)
        await stream.load(term, None)
        await stream.append(*(KINDS[number % 3](one.text) for number, one in enumerate(PLACED)))
        texts = [entry.text async for batch in stream.read() for entry in batch]
    assert [one for text, one in zip(texts, PLACED, strict=True) if leaks(text, [one])] == []
    with closing(sqlite3.connect(tmp_path / "sessions.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    on_disk = b"".join(path.read_bytes() for path in tmp_path.iterdir()).decode("utf-8", "replace")
    assert [one for one in PLACED if one.secret in on_disk] == []


def test_neither_a_log_nor_an_error_tells_a_secret() -> None:
    out = io.StringIO()
    logs.configure("info", "json", [], out)
    before = session_masker.set(MASKER)
    try:
        for one in PLACED:
            structlog.get_logger("x").warning("it failed", reason=one.text, deep=[{one.text: ValueError(one.text)}])
    finally:
        session_masker.reset(before)
    lines = out.getvalue().splitlines()
    assert [one for line, one in zip(lines, PLACED, strict=True) if leaks(line, [one])] == []
    for one in PLACED:
        assert not leaks(reason(ValueError(one.text), [one.secret] if one.known else ()), [one])
        if not one.known:
            for wrong in (BadInput("command", f"is {one.text}"), BadInput(one.text, "is unknown")):
                told = (ErrorOut.of(wrong), BareError.of(wrong), Acknowledgement.refusing(wrong), Refusal.of(wrong))
                assert [each for each in told if leaks(each.model_dump_json(), [one])] == []


def test_ordinary_code_stays_as_it_is() -> None:
    assert MASKER.text(CODE) == CODE
    library = Path(sysconfig.get_paths()["stdlib"])
    sources = [*sorted(library.glob("*.py")), *sorted(library.glob("json/*.py")), *sorted(library.glob("email/*.py"))]
    texts = {path.name: path.read_text(encoding="utf-8", errors="replace") for path in sources}
    assert sum(map(len, texts.values())) > 3_000_000
    assert [name for name, text in texts.items() if TextMasker().text(text) != text] == []


class Broken(SecretMasker):
    """A redactor that fails where it searches."""

    def spans(self, text: str) -> Sequence[tuple[int, int]]:
        raise MemoryError


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError("hunter2-and-a-half")


def test_nothing_is_told_where_the_redactor_fails() -> None:
    out = io.StringIO()
    masker, secret = Broken(["hunter2-and-a-half"]), "it is hunter2-and-a-half"
    assert secret not in masker.text(secret) + masker.beginning(secret) + masker.rest(secret)
    assert MASK in masker.text(secret)
    assert StreamMasker(masker).feed(secret) == ""
    logs.configure("info", "json", [], out)
    before = session_masker.set(masker)
    try:
        structlog.get_logger("x").warning(secret)
        structlog.get_logger("x").warning("it failed", thing=Unprintable(), reason=secret)
    finally:
        session_masker.reset(before)
    assert len(out.getvalue().splitlines()) == 2
    assert "hunter2" not in out.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "a" * 60_000,
        "-----BEGIN PRIVATE KEY-----" * 2_000,
        "sk-a-" * 12_000,
        "eyJ" * 20_000,
        "api-key=" * 7_000,
        "a b\n" * 15_000,
    ],
)
def test_no_text_makes_the_search_long(text: str) -> None:
    """Seconds of this process, far above what is needed: a pattern that tries every way would take for ever."""
    began = time.process_time()
    MASKER.text(text)
    MASKER.rest(text)
    MASKER.beginning(text)
    StreamMasker(MASKER).feed(text)
    assert time.process_time() - began < 5
