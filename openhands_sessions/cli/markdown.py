"""Markdown that streams: the blocks that are complete, and the one that still grows."""

from collections.abc import Sequence

from markdown_it import MarkdownIt
from rich.console import Console, RenderableType
from rich.markdown import Markdown
from rich.segment import Segment

from openhands_sessions.cli.output import clean

CODE_THEME = "ansi_dark"
"""The terminal's own colours, on its own background."""
# HTML and the targets of references would not be shown at all: as text, nothing of an answer is lost.
_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("reference")


class MarkdownStream:
    """A text that arrives in pieces. A block of the top level is complete when another one has begun behind it."""

    def __init__(self) -> None:
        self.rest = ""
        """What is not complete."""

    def feed(self, text: str) -> str:
        """Take a piece in; the blocks that it completes."""
        self.rest += text
        lines = self.rest.split("\n")
        begins = [token.map[0] for token in _PARSER.parse(self.rest) if token.level == 0 and token.map is not None]
        # A line that has not ended may become something else: `-` a list, a rule, or the underline of a heading.
        if len(begins) < 2 or begins[-1] >= len(lines) - 1:
            return ""
        done, self.rest = "\n".join(lines[: begins[-1]]) + "\n", "\n".join(lines[begins[-1] :])
        return done

    def end(self) -> str:
        """What is left."""
        text, self.rest = self.rest, ""
        return text


def rendered(console: Console, text: str) -> list[list[Segment]]:
    """Blocks as lines, without empty ones around them. Links show where they lead: a text must not hide that."""
    markdown = Markdown("", code_theme=CODE_THEME, hyperlinks=False)
    markdown.parsed = _PARSER.parse(clean(text))
    lines = lines_of(console, markdown)
    full = [number for number, line in enumerate(lines) if line]
    return lines[full[0] : full[-1] + 1] if full else []


def lines_of(console: Console, what: RenderableType) -> list[list[Segment]]:
    """What a console shows, as lines without spaces at their ends; no control character gets through, wherever it comes
    from."""
    lines = console.render_lines(what, pad=False)
    return [_trimmed([Segment(clean(each.text), each.style) for each in line if not each.control]) for line in lines]


def _trimmed(line: Sequence[Segment]) -> list[Segment]:
    kept = list(line)
    while kept and not kept[-1].text.strip() and not (kept[-1].style and kept[-1].style.bgcolor):
        kept.pop()
    if kept and not (kept[-1].style and kept[-1].style.bgcolor):
        kept[-1] = Segment(kept[-1].text.rstrip(), kept[-1].style)
    return kept
