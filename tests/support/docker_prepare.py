"""`python -m tests.support.docker_prepare` makes the images ahead of the tests: it takes longer than a test may."""

from tests.support.docker_engine import NoEngine, opened
from tests.support.docker_server import server_image


def prepare() -> None:
    """The second time there is nothing to do."""
    try:
        with opened() as engine:
            print("Seeing to the images for Docker tests; the first time takes three minutes.", flush=True)
            print(engine.base, engine.python, server_image(engine))
    except NoEngine as problem:
        print(f"Docker tests are skipped: {problem}.")


if __name__ == "__main__":
    prepare()
