"""What a conversation is called."""

import re

LONGEST = 60
"""Characters of a title that we make; users may give longer ones."""
_AROUND = "\"'`*#_ \t.:-"


def made_title(text: str) -> str | None:
    """A model's answer as a title: its first line, without what models put around it; None where nothing is left."""
    line = next((line for line in text.splitlines() if line.strip(_AROUND)), "")
    line = re.sub(r"^(?:title|titel)\s*:", "", line.strip(_AROUND), flags=re.IGNORECASE)
    return _cut(" ".join(line.split()).strip(_AROUND)) or None


def first_words(message: str) -> str | None:
    """A title made of a message's beginning; None for a message without words."""
    return _cut(" ".join(message.split())) or None


def _cut(text: str) -> str:
    """Between words where that is possible."""
    if len(text) <= LONGEST:
        return text
    words = text[: LONGEST - 1]
    return (words.rpartition(" ")[0] or words).rstrip(" ,;:.") + "…"
