"""Images: there, or fetched when they are first needed."""

from collections.abc import Awaitable, Callable

from openhands_sessions.adapters.runtimes.docker.engine import DockerEngine
from openhands_sessions.adapters.runtimes.docker.errors import ImageMissing
from openhands_sessions.core.errors import RuntimeUnavailable


class Images:
    """Looks for an image only where the engine says that it has none: a look before each start would cost time."""

    def __init__(self, engine: DockerEngine, *, pull: bool) -> None:
        self._engine = engine
        self._pull = pull

    async def having(self, image: str, make: Callable[[], Awaitable[str]], tell: Callable[[str], None]) -> str:
        """What `make` returns, which needs the image. Raises RuntimeUnavailable."""
        try:
            return await make()
        except ImageMissing:
            if not self._pull:
                raise
        tell(f"Fetching the image {image}")
        try:
            await self._engine.pull(image, lambda done: tell(f"Fetching the image {image}: {done} %"))
        except RuntimeUnavailable as error:
            raise ImageMissing(error.message) from error
        tell(f"The image {image} is fetched")
        return await make()
