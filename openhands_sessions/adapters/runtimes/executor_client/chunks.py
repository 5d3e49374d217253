"""A command's output on its way to who listens."""

from openhands_sessions.adapters.runtimes.executor_client.connection import Message
from openhands_sessions.ports.runtime import OnOutput


class OutputChunks:
    """Hands on a command's output, and says where some of it did not come."""

    def __init__(self, on_output: OnOutput) -> None:
        self._on_output = on_output
        self.end = 0
        """How much of it came, in bytes."""

    def take(self, piece: Message) -> None:
        start, end, text = piece.get("from"), piece.get("to"), piece.get("text")
        if not (isinstance(start, int) and isinstance(end, int) and isinstance(text, str)):
            return
        if start != self.end:
            text = f"\n[... {start - self.end} bytes not shown ...]\n{text}"
        self.end = end
        self._on_output(text)
