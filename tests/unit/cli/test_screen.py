"""What reaches the terminal."""

import asyncio
import io

import pytest
from hypothesis import given, strategies

from openhands_sessions.cli.output import clean
from openhands_sessions.cli.terminal import Screen


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]52;c;aGk=\x1b\\after", "after"),
        ("a\r\nb\rc", "a\nb\nc"),
        ("bell\x07 back\x08 null\0 \x9b31m", "bell back null 31m"),
        ("\x1b(Bcharset \x1bcreset", "charset reset"),
    ],
)
def test_nothing_that_steers_a_terminal_gets_through(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(strategies.text())
def test_what_is_clean_has_no_controls_but_tabs_and_line_ends(text: str) -> None:
    assert all(character in "\n\t" or character.isprintable() or character > "\x9f" for character in clean(text))


def test_a_line_stands_on_its_own(screen: Screen, paper: io.StringIO) -> None:
    screen.write("half")
    screen.line("whole")
    screen.finish_line()
    assert paper.getvalue() == "half\nwhole\n"


def test_an_error_goes_to_standard_error_where_nobody_looks(paper: io.StringIO) -> None:
    errors = io.StringIO()
    screen = Screen(paper, plain=True, errors=errors)
    screen.write("half")
    screen.problem("it broke\x07")
    assert (paper.getvalue(), errors.getvalue()) == ("half\n", "error: it broke\n")
    terminal = Screen(paper, plain=False, errors=errors)
    terminal.problem("again")
    assert "error: again" in paper.getvalue()
    assert "again" not in errors.getvalue()


def test_brackets_and_signs_are_taken_as_they_are(screen: Screen, paper: io.StringIO) -> None:
    screen.line("[bold]a[/bold] :smile: " + "word " * 60)
    assert paper.getvalue() == "[bold]a[/bold] :smile: " + "word " * 60 + "\n"


async def test_a_plain_screen_has_neither_prompt_nor_sign(screen: Screen, paper: io.StringIO) -> None:
    async with screen.alive():
        screen.busy("working")
        screen.prompt("> ")
        await asyncio.sleep(0)
        screen.line("text", "red")
    assert paper.getvalue() == "text\n"


def test_what_is_written_takes_the_prompts_place(paper: io.StringIO) -> None:
    screen = Screen(paper, plain=False)
    screen.prompt("> ")
    screen.line("news")
    screen.prompt("> ")
    assert paper.getvalue().count("\r\x1b[K") == 1
    assert paper.getvalue().index("\r\x1b[K") < paper.getvalue().index("news")


def test_a_prompt_is_not_repeated(paper: io.StringIO) -> None:
    screen = Screen(paper, plain=False)
    screen.prompt("> ")
    screen.prompt("> ")
    assert paper.getvalue().count("> ") == 1
    screen.entered()
    screen.prompt("> ")
    assert paper.getvalue().count("> ") == 2


class Watched(io.StringIO):
    """Paper that tells when a word was written on it."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self._word = word
        self.written = asyncio.Event()

    def write(self, text: str) -> int:
        if self._word in text:
            self.written.set()
        return super().write(text)


async def test_a_moving_sign_is_gone_when_something_is_written() -> None:
    paper = Watched("running")
    screen = Screen(paper, plain=False)
    async with asyncio.timeout(20), screen.alive():
        screen.busy("running")
        await paper.written.wait()
        screen.line("done")
    text = paper.getvalue()
    assert text.endswith("done\n")
    assert text.rindex("\r\x1b[K") < text.rindex("done")
