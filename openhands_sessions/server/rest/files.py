"""`/api/conversations/{id}/list-files`, `/select-file`, `/upload-files` and `/zip-directory`: the workspace's files."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, contextmanager

from aiohttp import BodyPartReader, MultipartReader, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from openhands_sessions.core.errors import BadInput, PathRefused, SessionsError, TooLarge
from openhands_sessions.core.events.event import Json
from openhands_sessions.ports.runtime import Workspace
from openhands_sessions.protocol import routes
from openhands_sessions.server.middleware import NOT_KEPT
from openhands_sessions.server.services import owned, principal, services
from openhands_sessions.service.files import Skipped, text_of

PIECE = 256 << 10
MOST_SKIPPED = 1_000
_PLAIN = ("", "binary", "7bit", "8bit")


async def list_files(request: web.Request) -> web.Response:
    files = await _files(request)
    with _naming("path"):
        return web.json_response(await files.list(request.query.get("path", "")))


async def select_file(request: web.Request) -> web.Response:
    files = await _files(request)
    if not request.query.get("file"):
        raise BadInput("file", "must name a file")
    with _naming("file"):
        return web.json_response({"code": await text_of(files, request.query["file"])})


async def upload_files(request: web.Request) -> web.Response:
    files = await _files(request)
    if request.content_type != "multipart/form-data":
        raise BadInput("the body", "must be multipart/form-data with files in the field `files`")
    uploaded: list[Json] = []
    skipped: list[Json] = []
    async for part in _parts(request):
        taken = await _taken(request, files, part, len(uploaded))
        if isinstance(taken, Skipped):
            skipped.append({"name": taken.name, "reason": taken.reason})
        else:
            uploaded.append(taken)
        if len(skipped) > MOST_SKIPPED:
            raise TooLarge(f"more than {MOST_SKIPPED} parts were not taken")
    return web.json_response({"uploaded_files": uploaded, "skipped_files": skipped})


async def zip_directory(request: web.Request) -> web.StreamResponse:
    files = await _files(request)
    async with aclosing(files.archive(request.query.get("path", ""))) as pieces:
        with _naming("path"):
            first = await anext(pieces)
        name = f'attachment; filename="{request.match_info["conversation_id"]}.zip"'
        headers = {"Content-Type": "application/zip", "Content-Disposition": name, "Cache-Control": NOT_KEPT}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        await response.write(first)
        try:
            async for piece in pieces:
                await response.write(piece)
        except SessionsError:
            if request.transport is not None:
                request.transport.abort()  # what has left cannot be taken back: the client sees that there is no end
            raise
        await response.write_eof()
    return response


async def _files(request: web.Request) -> Workspace:
    sid = await owned(request)
    return await services(request).files.workspace(principal(request).owner, sid)


@contextmanager
def _naming(field: str) -> Iterator[None]:
    """A refused path as a wrong value of this field."""
    try:
        yield
    except PathRefused as error:
        raise BadInput(field, f"is refused: {error.message}") from None


async def _taken(request: web.Request, files: Workspace, part: BodyPartReader, before: int) -> str | Skipped:
    found = services(request).files
    name = part.filename or ""
    if part.name != "files" or not name:
        return Skipped((name or part.name or "")[:200], "not a file in the field `files`")
    if part.headers.get("Content-Transfer-Encoding", "").lower() not in _PLAIN:
        return Skipped(name[:200], "its transfer encoding is not taken")
    if before >= found.limits.files:
        return Skipped(name[:200], f"more than {found.limits.files} files")
    return await found.take(files, name, _pieces(part))


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


async def _pieces(part: BodyPartReader) -> AsyncIterator[bytes]:
    while True:
        with _well_formed():
            piece = await part.read_chunk(PIECE)
        if not piece:
            return
        yield piece


@contextmanager
def _well_formed() -> Iterator[None]:
    """What the library raises for a body that is none, as our own."""
    try:
        yield
    except (AssertionError, RuntimeError, ValueError, HttpProcessingError) as error:
        raise BadInput("the body", "is no well-formed multipart/form-data") from error


HANDLERS: Mapping[routes.Route, Handler] = {
    routes.LIST_FILES: list_files,
    routes.READ_FILE: select_file,
    routes.UPLOAD_FILES: upload_files,
    routes.ZIP_DIRECTORY: zip_directory,
}
