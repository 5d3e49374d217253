"""A Docker engine of one test, which may kill it; has the images of the shared engine."""

import contextlib
import fcntl
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from docker.errors import ImageNotFound

from tests.support.docker_daemon import Daemon
from tests.support.docker_engine import Engine, prepare_for_daemon
from tests.support.system_packages import CACHE


@dataclass(frozen=True)
class MortalEngine:
    """`daemon` may be killed and revived; `image` is the sandboxes'."""

    daemon: Daemon
    image: str

    @property
    def engine(self) -> Engine:
        return Engine(self.daemon.address)

    def clear(self) -> None:
        """Leave it as it was at first, however it was left."""
        if not self.daemon.running:
            self.daemon.revive()
        self.daemon.empty()


@contextlib.contextmanager
def mortal_engine(source: Engine) -> Iterator[MortalEngine]:
    """One until the end of the block. Raises NoEngine where none can be started."""
    prepare_for_daemon()
    with _own_folder() as folder:
        daemon = Daemon(folder)
        try:
            daemon.start()
            image = source.base
            _copy(source, Engine(daemon.address), image)
            yield MortalEngine(daemon, image)
        finally:
            daemon.stop()


@contextlib.contextmanager
def _own_folder() -> Iterator[Path]:
    """The first that no other run has; the images in it are kept for later runs."""
    for number in count():
        folder = CACHE / f"mortal-{number}"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (folder / "user").open("w") as user, contextlib.suppress(BlockingIOError):
            fcntl.flock(user, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield folder
            return


def _copy(source: Engine, target: Engine, image: str) -> None:
    with contextlib.closing(target.client()) as there:
        try:
            there.images.get(image)
        except ImageNotFound:
            with contextlib.closing(source.client()) as here:
                there.images.load(here.images.get(image).save(named=image))
