"""The table `[audit]`."""

from pydantic import Field

from openhands_sessions.config.section import Section
from openhands_sessions.config.values import Place


class AuditSection(Section):
    enabled: bool = Field(False, description="Write an audit log: who did what to which conversation.")
    path: Place | None = Field(None, description="Its file; `audit.jsonl` in the data folder if not set.")
    file_bytes: int = Field(
        16 * 1024 * 1024, ge=1_024, description="Size from which the file is put aside, and a new one is begun."
    )
    files: int = Field(8, ge=1, le=1_000, description="Most files, the one that is written included.")
