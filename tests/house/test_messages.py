"""The messages that the docs show are those that the product prints."""

import ast
import re
from collections.abc import Iterator

from tests.house.sources import OURS, ROOT

PAGE = ROOT / "docs" / "howto" / "troubleshooting.md"
ASIDE = re.compile(r"^error: |[()]|; |: ")
"""What commands put before each message, and what joins its parts."""


def shown() -> Iterator[str]:
    """Every message of the page: the lines of its blocks, and the first cells of its tables."""
    text = PAGE.read_text(encoding="utf-8")
    for block in re.findall(r"```text\n(.*?)```", text, re.DOTALL):
        yield from block.splitlines()
    yield from re.findall(r"^\| `([^|]+)` \|", text, re.MULTILINE)


def texts() -> str:
    """Every text in the code, each on lines of its own."""
    found = (node.value for source in OURS for node in ast.walk(source.tree) if isinstance(node, ast.Constant))
    return "\n".join(text for text in found if isinstance(text, str))


def test_every_message_of_the_troubleshooting_page_is_one_of_the_product() -> None:
    known = texts()
    messages = list(shown())
    assert len(messages) > 30
    assert [message for message in messages if not _all_in(message, known)] == []


def _all_in(message: str, known: str) -> bool:
    parts = [part.strip(" .:'") for part in ASIDE.sub("…", message).split("…")]
    return all(part in known for part in parts if len(part) > 3)
