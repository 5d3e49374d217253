"""What reaches files, pipes and terminals."""

import io

import pytest
from hypothesis import given, strategies

from openhands_sessions.cli.output import clean
from openhands_sessions.cli.screen import PlainScreen


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


def test_a_line_stands_on_its_own(screen: PlainScreen, paper: io.StringIO) -> None:
    screen.write("half")
    screen.line("whole")
    screen.finish_line()
    assert paper.getvalue() == "half\nwhole\n"


def test_errors_and_notes_go_to_standard_error(paper: io.StringIO) -> None:
    errors = io.StringIO()
    screen = PlainScreen(paper, errors)
    screen.write("half")
    screen.problem("it broke\x07")
    screen.note("Conversation 1")
    assert (paper.getvalue(), errors.getvalue()) == ("half\n", "error: it broke\nConversation 1\n")


def test_brackets_and_signs_are_taken_as_they_are(screen: PlainScreen, paper: io.StringIO) -> None:
    screen.line("[bold]a[/bold] :smile: **b** " + "word " * 60)
    assert paper.getvalue() == "[bold]a[/bold] :smile: **b** " + "word " * 60 + "\n"


async def test_a_pipe_gets_neither_prompt_nor_sign(screen: PlainScreen, paper: io.StringIO) -> None:
    async with screen.alive():
        screen.busy("working")
        screen.prompt("> ")
        screen.line("text", "red")
        screen.detail("10 tokens")
    assert paper.getvalue() == "text\n"


def test_a_terminal_without_codes_is_asked_on_lines_of_their_own(paper: io.StringIO) -> None:
    screen = PlainScreen(paper, prompting=True)
    screen.prompt("> ")
    screen.prompt("> ")
    screen.line("news")
    screen.prompt("> ")
    screen.entered("typed")
    screen.line("answer")
    assert paper.getvalue() == "> \nnews\n> answer\n"
