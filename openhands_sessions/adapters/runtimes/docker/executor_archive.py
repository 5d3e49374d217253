"""The executor as one file, which any image with Python runs."""

import hashlib
import os
import tempfile
import zipapp
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[3] / "executor"


def executor_archive(folder: Path) -> Path:
    """The archive in this folder, written where it is missing. Its name tells one version from another, for containers
    of an earlier server may still run that one's. Raises OSError."""
    digest = hashlib.sha256()
    for path in sorted(SOURCE.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    archive = folder / f"executor-{digest.hexdigest()[:16]}.pyz"
    if not archive.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=".executor-")
        with os.fdopen(descriptor, "wb") as file:
            zipapp.create_archive(SOURCE, file, filter=lambda path: path.suffix == ".py")
            os.fchmod(descriptor, 0o644)  # the sandbox's user is not ours
        Path(name).rename(archive)
    return archive
