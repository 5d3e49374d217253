"""`store`: the database of the data folder."""

from collections.abc import Mapping
from pathlib import Path

from openhands_sessions.bootstrap import kinds
from openhands_sessions.cli.data_folder import server_lock, usable
from openhands_sessions.cli.output import clean, print_json
from openhands_sessions.cli.settings import loaded
from openhands_sessions.ports.store import StoreReport


def check(flags: Mapping[str, object], file: Path | None, *, as_json: bool) -> int:
    """Read all that is stored, and print what is damaged; 1 where something is. Raises DataFolderLocked while a server
    runs, SessionsError."""
    config = loaded(flags, file, quiet=True).config
    with usable(config.data_dir), server_lock(config.data_dir):
        report = kinds.check_store(config)
    if as_json:
        print_json(_wire(report))
    else:
        print("\n".join(_lines(report)))
    return 0 if report.sound else 1


def _lines(report: StoreReport) -> list[str]:
    left = report.events - report.checked
    counted = f"{report.events} events, {report.checked} with a checksum"
    lines = [f"the database is damaged: {clean(report.problem)}" if report.problem else counted]
    if left:
        lines.append(
            f"{left} of an earlier version have none yet: a running server adds them while nothing else is written"
        )
    lines += [f"{clean(each.conversation or '-')}: {clean(each.message)}" for each in report.damage]
    lines += [
        f"{name}: commits were lost; it holds them, remove it when they are not needed" for name in report.kept_logs
    ]
    return [*lines, "nothing is damaged"] if report.sound else lines


def _wire(report: StoreReport) -> dict[str, object]:
    damage = [
        {"conversation_id": each.conversation, "first": each.first, "last": each.last, "problem": each.message}
        for each in report.damage
    ]
    return {
        "ok": report.sound,
        "events": report.events,
        "checked": report.checked,
        "problem": report.problem,
        "damage": damage,
        "kept_logs": list(report.kept_logs),
    }
