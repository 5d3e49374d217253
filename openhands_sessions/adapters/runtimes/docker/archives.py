"""What goes into the volumes of an engine, and comes out of them: as tar archives."""

import io
import tarfile
from collections.abc import Mapping


def packed(owner: tuple[int, int], entries: Mapping[str, bytes | None], *, mode: int = 0o400) -> bytes:
    """A tar archive of files, and of folders where there is None."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        for name, content in entries.items():
            entry = tarfile.TarInfo(name)
            entry.uid, entry.gid = owner
            entry.mode = mode
            if content is None:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o700
            else:
                entry.size = len(content)
            archive.addfile(entry, None if content is None else io.BytesIO(content))
    return whole.getvalue()


def unpacked(archive: bytes) -> bytes:
    """The one file in it; nothing where a command has put something else in its place."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
            first = opened.next()
            file = opened.extractfile(first) if first is not None and first.isreg() else None
            return b"" if file is None else file.read()
    except tarfile.TarError:
        return b""
