"""Keys by their names, and what a terminal sends for each."""

from string import ascii_letters

_NAMED = {
    **dict.fromkeys(("Enter", "Return"), "\n"),
    **dict.fromkeys(("Escape", "Esc"), "\x1b"),
    "Tab": "\t",
    "Space": " ",
    "Backspace": "\x7f",
    **dict.fromkeys(("Up", "ArrowUp"), "\x1b[A"),
    **dict.fromkeys(("Down", "ArrowDown"), "\x1b[B"),
    **dict.fromkeys(("Right", "ArrowRight"), "\x1b[C"),
    **dict.fromkeys(("Left", "ArrowLeft"), "\x1b[D"),
    "Home": "\x1b[H",
    "End": "\x1b[F",
    "Insert": "\x1b[2~",
    "Delete": "\x1b[3~",
    "PageUp": "\x1b[5~",
    "PageDown": "\x1b[6~",
    **{f"F{number}": f"\x1bO{letter}" for number, letter in enumerate("PQRS", 1)},
    **{f"F{number}": f"\x1b[{code}~" for number, code in enumerate((15, 17, 18, 19, 20, 21, 23, 24), 5)},
    **{f"C-{letter}": chr(ord(letter) & 0x1F) for letter in ascii_letters},
}


def typed(text: str, *, enter: bool | None) -> str:
    """What is typed for the text of a call. Names of keys stand for the keys, and a line ends with one Enter; with
    `enter`, the text is typed as it is, with Enter or without."""
    words = text.split()
    if enter is None and words and all(word in _NAMED for word in words):
        return "".join(_NAMED[word] for word in words)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if enter is False or text.endswith("\n") or not (text or enter):
        return text
    return f"{text}\n"
