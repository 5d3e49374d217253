"""`docs/tutorial/first-session.md`: its blocks, as they stand there, in one program."""

import asyncio
import re
from pathlib import Path

import pytest

from tests.support.library_programs import LibraryPrograms

PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "first-session.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
SCRIPT = """\
replies:
  - when: Ulm
    steps:
      - {call: weather, with: {city: Ulm, days: 2}}
      - say: 7 degrees.
  - when: Pay 3
    steps:
      - {call: pay, with: {amount: 3}}
      - say: Paid 3.
  - when: Pay 40
    steps:
      - {call: pay, with: {amount: 40}}
      - say: Paid 4.
  - when: Tell me more
    steps: [{say: More.}]
  - when: approach A
    steps: [{say: A is bad.}]
  - when: approach B
    steps: [{say: B is good.}]
  - when: Judge the text
    steps: [{say: The Isar is missing.}]
  - when: about the Danube
    steps: [{say: The Danube is long.}]
  - when: Write a text now
    steps: [{say: A text.}]
  - when: How long is the Rhine
    steps:
      - {call: ask_expert, with: {task: Length of the river}}
      - say: It has 1233 km.
  - when: Length of the river
    steps: [{say: 1233 km.}]
  - when: Have a text written
    steps:
      - {call: transfer_to_writer, with: {task: Write a text now.}}
  - when: Plan a trip
    steps: [{say: Where to.}]
  - when: By plane
    steps: [{say: Fast.}]
  - when: By train
    steps: [{say: Slow.}]
  - steps: [{say: Hello.}]
  - steps: [{say: Welcome back.}]
  - steps: [{say: Once more.}]
"""
PRINTED = """\
Hello.
user Hello
assistant Hello.
7 degrees. .*
Paid 3\\.
{'amount': 40}
Paid 4\\.
More\\.A is bad\\.
B is good\\.
\\['side', .*\\] \\['1'\\]
1 \\(\\) {'bags': 2}
The Danube is long\\.
The Isar is missing\\.
\\[None, 'write', None, 'judge'\\]
It has 1233 km\\.
writer
Welcome back\\.
\\d+
"""


@pytest.mark.slow
@pytest.mark.timeout(500)
async def test_the_blocks_of_the_tutorial_run_from_top_to_bottom(tmp_path: Path) -> None:
    async with asyncio.timeout(500):
        programs = LibraryPrograms(folder=tmp_path, data_dir=tmp_path / "data")
        programs.script(SCRIPT)
        assert len(BLOCKS) == 10
        assert BLOCKS[0].count('"scripted:demo"') == 1
        text = "\n".join(BLOCKS).replace("scripted:demo", "scripted:play")
        process = await programs.start(text)
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        assert re.fullmatch(PRINTED, out.decode()), out.decode()
        line = f"openhands_sessions: sessions are stored in {tmp_path}/data/sessions.db (store=... chooses)\n"
        assert err.decode() == line
