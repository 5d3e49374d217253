"""The picture of the quickstart: a chat on a real terminal, whose server is killed and started again, drawn as SVG.

`python -m tests.support.chat_recording` records it anew.
"""

import asyncio
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import escape

from tests.support.command_line import CommandLine, Terminal
from tests.support.running_server import running_server

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "chat.svg"
CALL = ".venv/bin/openhands-sessions chat --server http://127.0.0.1:3000"
SAID = '$ echo "first half"; sleep 20; echo "second half"'
NOTES = {
    "(The connection is lost; trying again.)": "the server is killed with kill -9",
    "(Connected again.)": "it is started again: make serve",
}
"""What happens elsewhere, beside the line that tells of it."""
_ID = re.compile(r"\b[0-9a-f]{32}\b")
_LONGEST_WAIT = 2.0
"""Seconds that pass between two lines of the picture at most."""
_LINE, _CHARACTER, _LEFT, _TOP = 20, 8.4, 18, 46
_STYLE = """text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#d5d9e0;white-space:pre}
.call{fill:#9ecbff}.said{fill:#fff;font-weight:600}.dim,.note{fill:#8b93a1}.note{font-style:italic}
g{animation:show .01s backwards}@keyframes show{from{opacity:0}to{opacity:1}}
@media(prefers-reduced-motion){g{animation:none}}"""


@dataclass(frozen=True)
class Line:
    """A line of the terminal, and the second at which it was first shown."""

    text: str
    at: float


async def record() -> list[Line]:
    """Run it. The port and the program's name are as after `make serve`, everything else is as it was shown."""
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        async with (
            running_server(data_dir, {"OHS_AUTH__KIND": "session_key"}) as server,
            CommandLine(data_dir).terminal("chat", "--server", server.url) as terminal,
        ):
            watching = _Watching(terminal, {server.url: "http://127.0.0.1:3000"})
            await watching.until(lambda lines: lines[-1] == ">")
            terminal.types(f"{SAID}\r")
            await watching.until(lambda lines: "first half" in lines)
            await server.killed()
            await watching.until(lambda lines: any("trying again" in line for line in lines))
            await server.start()
            await watching.until(lambda lines: "Done. What next?" in lines and lines[-1] == ">")
            terminal.types("\x04")
            await watching.until(lambda lines: lines[-1].startswith("Go on with"))
            assert await terminal.code() == 0
            return watching.lines()


class _Watching:
    """Notes when each line is shown."""

    def __init__(self, terminal: Terminal, replaced: Mapping[str, str]) -> None:
        self._terminal = terminal
        self._replaced = {**replaced, "python -m openhands_sessions": ".venv/bin/openhands-sessions"}
        self._since = asyncio.get_running_loop().time()
        self._seen: dict[str, float] = {}

    async def until(self, reached: Callable[[list[str]], bool]) -> None:
        def look(lines: list[str]) -> bool:
            now = asyncio.get_running_loop().time() - self._since
            for line in lines:
                self._seen.setdefault(line, now)
            return reached(lines)

        await self._terminal.looks(look)

    def lines(self) -> list[Line]:
        found = []
        for line in self._terminal.lines:
            text = line
            for told, shown in self._replaced.items():
                text = text.replace(told, shown)
            found.append(Line(text, self._seen[line]))
        return found


def svg(lines: Sequence[Line]) -> str:
    """The picture: it plays once, and stays as the last line leaves it."""
    rows = [Line(f"$ {CALL}", 0.0), *lines]
    beside = max(len(told) for told in NOTES) + 3
    width = _LEFT * 2 + _CHARACTER * max(len(row.text) for row in rows)
    height = _TOP + _LINE * len(rows)
    waits = [min(later.at - row.at, _LONGEST_WAIT) for row, later in pairwise(rows)]
    drawn = [_row(number, Line(row.text, sum(waits[:number])), beside) for number, row in enumerate(rows)]
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img"'
            ' aria-label="A chat whose server is killed and started again: nothing is lost">',
            f"<style>{_STYLE}</style>",
            f'<rect width="{width:.0f}" height="{height:.0f}" rx="8" fill="#1b1f27"/>',
            *(f'<circle cx="{24 + 20 * n}" cy="20" r="6" fill="#4a5160"/>' for n in range(3)),
            *drawn,
            "</svg>\n",
        )
    )


def text_of(picture: str) -> list[str]:
    """The lines that a picture shows, without its notes, each id in the same form."""
    shown = re.findall(r'<text (?!class="note")[^>]*>(.*?)</text>', picture)
    return [plain(line.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")) for line in shown]


def plain(line: str) -> str:
    return _ID.sub("ID", line)


def _row(number: int, row: Line, beside: int) -> str:
    y = _TOP + _LINE * number
    kind = "call" if number == 0 else "said" if row.text.startswith("> ") else "dim" if row.text[:1] == "(" else "out"
    shown = f'<text class="{kind}" x="{_LEFT}" y="{y}">{escape(row.text)}</text>'
    if row.text in NOTES:
        x = _LEFT + _CHARACTER * beside
        shown += f'<text class="note" x="{x:.0f}" y="{y}">← {escape(NOTES[row.text])}</text>'
    return f'<g style="animation-delay:{row.at:.1f}s">{shown}</g>'


if __name__ == "__main__":
    PICTURE.write_text(svg(asyncio.run(record())), encoding="utf-8")
