"""What a terminal shows: lines that are ready, and below them what may still change."""

import io
import re
from collections.abc import Callable

import pytest
from hypothesis import given, strategies

from openhands_sessions.cli.terminal import LogLines, OutputEnd, StyledScreen
from openhands_sessions.executor.screen import TerminalScreen

CODES = re.compile(r"\x1b\[[0-9;]*m")
HOSTILE = ["\x1b[2J", "\x1b]0;title\x07", "\x07", "\x08", "\x9b31m", "&#27;[2J", "&#x9b;31m", "&#13;", "&#12;", "\r"]


class Paper:
    """A surface that keeps what went above."""

    def __init__(self) -> None:
        self.bottom: Callable[[], str] = str
        self.text = ""
        self.prompt: str | None = None

    def above(self, text: str) -> None:
        self.text += text

    def changed(self) -> None:
        pass

    def ask(self, prompt: str | None) -> None:
        self.prompt = prompt

    @property
    def plain(self) -> str:
        return CODES.sub("", self.text)

    @property
    def below(self) -> str:
        return CODES.sub("", self.bottom())


@pytest.fixture
def surface() -> Paper:
    return Paper()


@pytest.fixture
def screen(surface: Paper) -> StyledScreen:
    return StyledScreen(surface, out=io.StringIO(), errors=io.StringIO())


def test_a_line_goes_above_when_it_has_ended(surface: Paper, screen: StyledScreen) -> None:
    screen.write("one\ntw", "dim")
    assert (surface.plain, surface.below) == ("one\n", "tw")
    screen.write("o\n", "dim")
    assert (surface.plain, surface.below) == ("one\ntwo\n", "")
    screen.write("half")
    screen.line("whole")
    assert surface.plain == "one\ntwo\nhalf\nwhole\n"


def test_markdown_is_shown_as_it_streams_and_a_block_goes_above_when_the_next_begins(
    surface: Paper, screen: StyledScreen
) -> None:
    screen.say("Some **bold")
    assert (surface.plain, surface.below) == ("", "Some **bold")
    screen.say("** text\n\n- one\n")
    screen.say("- two")
    assert (surface.plain, surface.below) == ("Some bold text\n\n", " • one\n • two")
    assert "\x1b[1mbold" in surface.text
    screen.said()
    assert (surface.plain, surface.below) == ("Some bold text\n\n • one\n • two\n", "")


def test_output_after_a_reply_stands_below_it(surface: Paper, screen: StyledScreen) -> None:
    screen.say("I look.")
    screen.line("$ ls", "cyan")
    assert surface.plain == "I look.\n$ ls\n"


def test_links_show_where_they_lead_and_html_is_text(surface: Paper, screen: StyledScreen) -> None:
    screen.say("[here](http://elsewhere.example) <b>x</b>\n\n[note]: http://a.example")
    screen.said()
    for shown in ("here (http://elsewhere.example)", "<b>x</b>", "[note]: http://a.example"):
        assert shown in surface.plain
    assert "\x1b]8" not in surface.text


@given(
    strategies.lists(strategies.sampled_from([*HOSTILE, "a", "\n", "`", "```\n", "- ", "# ", "|", "\n\n"]), max_size=12)
)
def test_nothing_of_the_agents_controls_the_terminal(pieces: list[str]) -> None:
    surface = Paper()
    screen = StyledScreen(surface, out=io.StringIO(), errors=io.StringIO())
    for piece in pieces:
        screen.say(piece)
        assert surface.below.replace("\n", "").replace("\t", "").isprintable()
    screen.write("".join(pieces))
    screen.finish_line()
    assert surface.plain.replace("\n", "").replace("\t", "").isprintable()


def test_a_long_block_is_shown_by_its_end_until_it_is_ready(surface: Paper, screen: StyledScreen) -> None:
    screen.say("```\n" + "".join(f"line {number}\n" for number in range(300)))
    assert "line 299" in surface.below
    assert "line 0\n" not in surface.below
    screen.said()
    assert all(f"line {number}" in surface.plain for number in range(300))


def test_what_goes_on_is_told_below_with_its_seconds(surface: Paper, screen: StyledScreen) -> None:
    screen.busy("running")
    assert surface.below.endswith("running 0 s")
    screen.busy(None)
    assert surface.below == ""


def test_a_typed_message_is_shown_with_its_lines(surface: Paper, screen: StyledScreen) -> None:
    screen.entered("one\ntwo\x1b[2J")
    assert surface.plain == "> one\n  two\n"


def test_without_colours_there_are_none(surface: Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    screen = StyledScreen(surface, out=io.StringIO())
    screen.problem("it broke")
    screen.say("`code`")
    screen.said()
    assert not re.search(r"\x1b\[[0-9;]*(3[0-7]|9[0-7]|4[0-7])m", surface.text)


def test_the_log_of_the_process_goes_above_line_by_line(surface: Paper) -> None:
    log = LogLines(surface)
    log.write("warning: ")
    assert surface.text == ""
    print("disk full", file=log, flush=True)
    assert surface.text == "warning: disk full\n"


async def test_what_is_below_is_gone_when_something_goes_above() -> None:
    paper = io.StringIO()
    surface = OutputEnd(paper)
    screen = StyledScreen(surface, out=paper)
    async with screen.alive():
        screen.busy("working")
        screen.write("half a")
        surface._draw()
        assert shown(paper)[0] == "half a"
        assert shown(paper)[1].endswith("working 0 s")
        screen.line(" line")
        surface._draw()
        assert shown(paper)[:2] == ["half a", " line"]
    assert shown(paper) == ["half a", " line"]


def shown(paper: io.StringIO) -> list[str]:
    """The lines that a terminal shows of it."""
    emulator = TerminalScreen("", "")
    emulator.feed("\x1b[1;1H" + paper.getvalue())
    return emulator.text().rstrip().split("\n")
