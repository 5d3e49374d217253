"""Text that is shown while it comes, and what is left to show of it when the whole is there."""

from openhands_sessions.cli.screen import clean
from openhands_sessions.ports.gateway import Delta

ANCHOR = 80
"""Characters by which the end of what was shown is found again."""


class Streamed:
    """What of one streaming text has been shown: the longest piece without a hole."""

    def __init__(self) -> None:
        self.text = ""

    def take(self, delta: Delta) -> str:
        """The part to show now; nothing where a piece before it is missing."""
        if delta.restart:
            self.text = ""
        if delta.offset != len(self.text):
            return ""
        self.text += delta.text
        return delta.text

    def rest_of(self, text: str) -> str | None:
        """What is left to show of the whole text; None where what was shown is not its beginning."""
        shown, whole = clean(self.text), clean(text)
        if whole.startswith(shown):
            return whole[len(shown) :]
        # A long output keeps head and tail only: go on where the last of what was shown stands in it.
        last = shown[-ANCHOR:]
        place = whole.rfind(last)
        if place >= 0 and len(last) == ANCHOR:
            return whole[place + ANCHOR :]
        return "" if shown.rstrip().endswith(whole.rstrip()[-ANCHOR:] or "\n") else None
