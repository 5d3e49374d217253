"""`/api/conversations/{id}/list-files`, `/select-file`, `/upload-files`, `/zip-directory` and `/git/…`: the workspace's
files, and what has changed in its repository."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from openhands_sessions.core.errors import BadInput, NoRepository, PathRefused, SessionsError, TooLarge
from openhands_sessions.core.events.event import Json
from openhands_sessions.core.ids import ConversationId
from openhands_sessions.ports.workspaces import SkippedUpload
from openhands_sessions.server.middleware import NOT_KEPT, error_response
from openhands_sessions.server.services import access, permitted

CHUNK = 256 << 10
MOST_SKIPPED = 1_000
_FILENAME = re.compile(r'\bfilename="((?:\\.|[^"\\])*)"')
_PLAIN = ("", "binary", "7bit", "8bit")


async def list_files(request: web.Request) -> web.Response:
    sid = await permitted(request)
    with _naming("path"):
        return web.json_response(await access(request).workspaces.list_files(sid, request.query.get("path", "")))


async def select_file(request: web.Request) -> web.Response:
    sid = await permitted(request)
    if not request.query.get("file"):
        raise BadInput("file", "must name a file")
    with _naming("file"):
        return web.json_response({"code": await access(request).workspaces.read_text(sid, request.query["file"])})


async def upload_files(request: web.Request) -> web.Response:
    sid = await permitted(request)
    if request.content_type != "multipart/form-data":
        raise BadInput("the body", "must be multipart/form-data with files in the field `files`")
    uploaded: list[Json] = []
    skipped: list[Json] = []
    renamed: list[Json] = []
    async for part in _parts(request):
        taken = await _upload(request, sid, part, len(uploaded))
        if isinstance(taken, SkippedUpload):
            skipped.append({"name": taken.name, "reason": taken.reason})
        else:
            uploaded.append(taken)
            if taken.rpartition("/")[2] != (sent := _filename(part)).rpartition("/")[2]:
                renamed.append({"name": sent, "path": taken})
        if len(skipped) > MOST_SKIPPED:
            raise TooLarge(f"more than {MOST_SKIPPED} parts were not taken", MOST_SKIPPED)
    told: dict[str, Json] = {"uploaded_files": uploaded, "skipped_files": skipped}
    return web.json_response(told | {"renamed_files": renamed} if renamed else told)


async def zip_directory(request: web.Request) -> web.StreamResponse:
    sid = await permitted(request)
    async with aclosing(access(request).workspaces.archive(sid, request.query.get("path", ""))) as chunks:
        with _naming("path"):
            first = await anext(chunks)
        headers = {
            "Content-Type": "application/zip",
            "Content-Disposition": f'attachment; filename="{sid}.zip"',
            "Cache-Control": NOT_KEPT,
        }
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        await response.write(first)
        try:
            async for chunk in chunks:
                await response.write(chunk)
        except SessionsError:
            if request.transport is not None:
                request.transport.abort()  # what has left cannot be taken back: the client sees that there is no end
            raise
        await response.write_eof()
    return response


async def git_changes(request: web.Request) -> web.Response:
    sid = await permitted(request)
    try:
        changes = await access(request).workspaces.changes(sid)
    except NoRepository as error:
        return error_response(error, error=error.message)
    listed: list[Json] = []
    for each in changes:
        change: dict[str, Json] = {"path": each.path, "status": each.status}
        listed.append(change | {"old_path": each.old_path} if each.old_path else change)
    return web.json_response(listed)


async def git_diff(request: web.Request) -> web.Response:
    sid = await permitted(request)
    path = request.query.get("path", "")
    if not path:
        raise BadInput("path", "must name a file")
    try:
        with _naming("path"):
            found = await access(request).workspaces.diff(sid, path)
    except NoRepository as error:
        return error_response(error, error=error.message)
    return web.json_response({"original": found.original, "modified": found.modified})


@contextmanager
def _naming(field: str) -> Iterator[None]:
    """A refused path as a wrong value of this field."""
    try:
        yield
    except PathRefused as error:
        raise BadInput(field, f"is refused: {error.message}") from None


async def _upload(request: web.Request, sid: ConversationId, part: BodyPartReader, before: int) -> str | SkippedUpload:
    workspaces = access(request).workspaces
    name = _filename(part)
    if part.name != "files" or not name:
        return SkippedUpload((name or part.name or "")[:200], "not a file in the field `files`")
    if part.headers.get("Content-Transfer-Encoding", "").lower() not in _PLAIN:
        return SkippedUpload(name[:200], "its transfer encoding is not taken")
    if before >= workspaces.limits.files:
        return SkippedUpload(name[:200], f"more than {workspaces.limits.files} files")
    return await workspaces.upload(sid, name, _chunks(part))


def _filename(part: BodyPartReader) -> str:
    """The name as it was sent. Browsers send a backslash as itself, where the library takes it for an escape."""
    header = part.headers.get("Content-Disposition", "")
    if part.filename and "filename*" not in header and (found := _FILENAME.search(header)) is not None:
        return re.sub(r'\\(["\\])', r"\1", found[1])
    return part.filename or ""


async def _parts(request: web.Request) -> AsyncIterator[BodyPartReader]:
    with _well_formed():
        reader = await request.multipart()
    while True:
        with _well_formed():
            part = await reader.next()
        if part is None:
            return
        if isinstance(part, MultipartReader):
            raise BadInput("the body", "must not hold a multipart body in another one")
        yield part


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while True:
        with _well_formed():
            chunk = await part.read_chunk(CHUNK)
        if not chunk:
            return
        yield chunk


@contextmanager
def _well_formed() -> Iterator[None]:
    """The library's error for an invalid body, as an error of ours."""
    try:
        yield
    except (AssertionError, RuntimeError, ValueError, HttpProcessingError) as error:
        raise BadInput("the body", "is no well-formed multipart/form-data") from error
