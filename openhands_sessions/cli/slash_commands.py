"""What a line that begins with a slash asks of the chat itself."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from openhands_sessions.cli.budget import budget_command, budget_told
from openhands_sessions.cli.chat_target import ChatTarget
from openhands_sessions.cli.history import taken_back
from openhands_sessions.cli.screen import Screen
from openhands_sessions.core.commands import SendMessage
from openhands_sessions.core.errors import BadInput, SessionsError
from openhands_sessions.core.history_commands import Undo

COMMANDS: Mapping[str, str] = {
    "stop": "stop the agent; Ctrl-C does the same",
    "queue": "/queue TEXT sends TEXT once the agent has ended its turn; Enter alone reaches it at once",
    "undo": "take the newest turn back",
    "model": "the model and what was used; /model NAME has another one answer from the next message on",
    "budget": "what calls may cost without a question; /budget DOLLARS sets it, /budget off turns it off",
    "files": "the files of the workspace; /files FOLDER those of a folder",
    "help": "this list",
}
KEYS: Mapping[str, str] = {
    "Enter": "send, also while the agent works",
    "Alt-Enter, Ctrl-J": "a new line",
    "Up, Down, Ctrl-R": "what was typed before",
    "Ctrl-C": "stop the agent; at the prompt, clear the input; twice, leave",
    "Ctrl-D": "leave; the conversation stays",
    "//TEXT": "send TEXT with one slash before it",
}
UNDO = (
    "The files are as they are now; to undo its last edit of a file, ask the agent: its editor keeps what it replaced."
)
MOST_FILES = 200
"""Names of one folder that are shown."""
_COMMAND = re.compile(r"/([A-Za-z]*)(?: +(.*?))? *")


@dataclass(frozen=True, slots=True)
class SlashCommand:
    """A command's name, which may be unknown, and what stands behind it."""

    name: str
    argument: str = ""


def read(text: str) -> SlashCommand | str:
    """The command, or the message as it is sent. Only one line can be a command, and only letters its name: a message
    may begin with a path."""
    if text.startswith("//"):
        return text[1:]
    found = _COMMAND.fullmatch(text.rstrip())
    return text if found is None else SlashCommand(found[1].lower(), found[2] or "")


def unknown(name: str) -> SessionsError:
    """The error for a command that does not exist."""
    close = get_close_matches(name, COMMANDS, n=1)
    meant = f" did you mean /{close[0]}?" if close else ""
    return SessionsError(f"there is no command /{name};{meant} /help lists all; //{name} sends it as a message")


class SlashCommands:
    """Carries the commands of one conversation out. `stop` ends the agent's turn, and says whether there was one."""

    def __init__(self, target: ChatTarget, screen: Screen, stop: Callable[[], Awaitable[bool]]) -> None:
        self._target = target
        self._screen = screen
        self._stop = stop

    async def run(self, command: SlashCommand) -> None:
        """Raises what the conversation's ports do."""
        match command.name:
            case "stop" | "undo" | "help" if command.argument:
                raise BadInput(f"/{command.name}", f"takes nothing behind it; //{command.name} … sends it as a message")
            case "stop":
                if not await self._stop():
                    self._say("The agent is not working.")
            case "queue":
                await self._queue(command.argument)
            case "undo":
                await self._undo()
            case "model":
                await self._model(command.argument)
            case "budget":
                await self._budget(command.argument)
            case "files":
                await self._files(command.argument)
            case "help":
                self._help()
            case name:
                raise unknown(name)

    async def _queue(self, text: str) -> None:
        if not text or not self._target.is_open:
            self._say("/queue TEXT sends TEXT once the agent has ended its turn.")
            return
        await self._target.submit(SendMessage(content=text, mode="queue"))
        self._say("It is sent once the agent has ended its turn.")

    async def _undo(self) -> None:
        if not self._target.is_open:
            self._say("There is nothing to take back: the conversation begins with your first message.")
            return
        done = await self._target.change_history(Undo())
        self._say(taken_back(done) or done.told)  # the event, which follows, says where the dialogue goes on
        self._say(UNDO)

    async def _model(self, name: str) -> None:
        if name:
            await self._target.choose_model(name)
            self._say(f"Model: {name}, from your next message on.")
            return
        self._say(f"Model: {self._target.model}")
        if used := self._target.used:
            self._say(used)

    async def _budget(self, amount: str) -> None:
        if not self._target.is_open:
            self._say("There is no budget yet: the conversation begins with your first message.")
            return
        if amount:
            await self._target.submit(budget_command(amount))
        info = await self._target.gateway.describe(self._target.sid)
        self._say(budget_told(info.budget))

    async def _files(self, folder: str) -> None:
        if not self._target.is_open:
            self._say("There are no files yet: the conversation begins with your first message.")
            return
        names = await self._target.files(folder)
        for name in names[:MOST_FILES]:
            self._say(name)
        if len(names) > MOST_FILES:
            self._say(f"(and {len(names) - MOST_FILES} more)")
        if not names:
            self._say("The folder is empty.")

    def _help(self) -> None:
        for name, meaning in COMMANDS.items():
            self._say(f"{'/' + name:<18} {meaning}")
        for key, meaning in KEYS.items():
            self._say(f"{key:<18} {meaning}")

    def _say(self, text: str) -> None:
        self._screen.line(text, "dim")
