"""Text that is shown while it comes, and what is left to show of it when the whole is there."""

from openhands_sessions.cli.screen import clean
from openhands_sessions.ports.gateway import Delta

ANCHOR = 80
"""Characters by which the end of what was shown is found again."""


class Streamed:
    """What of one streaming text has been shown: the longest piece without a hole."""

    def __init__(self) -> None:
        self.text = ""
        self._before = ""  # what was shown before it began anew

    def take(self, delta: Delta) -> str:
        """The part to show now; nothing where a piece before it is missing, or was shown before it began anew."""
        if delta.restart:
            self._before, self.text = self.text or self._before, ""
        if delta.offset != len(self.text):
            return ""
        self.text += delta.text
        if self._before.startswith(self.text):
            return ""
        before, self._before = self._before, ""
        return self.text.removeprefix(before) if before else delta.text

    def rest_of(self, text: str) -> str | None:
        """What is left to show of the whole text; None where what was shown is not its beginning."""
        shown, whole = clean(max(self.text, self._before, key=len)), clean(text)
        if whole.startswith(shown):
            return whole[len(shown) :]
        # A long output keeps head and tail only: go on where the last of what was shown stands in it.
        last = shown[-ANCHOR:]
        place = whole.rfind(last)
        if place >= 0 and len(last) == ANCHOR:
            return whole[place + ANCHOR :]
        return "" if shown.rstrip().endswith(whole.rstrip()[-ANCHOR:] or "\n") else None
