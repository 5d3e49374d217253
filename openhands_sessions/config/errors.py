"""Errors of the configuration, in a file of their own because `--help` imports it."""


class ConfigError(Exception):
    """A setting cannot be used. `origin` is its file and line, variable or flag."""

    def __init__(self, origin: str, problem: str) -> None:
        super().__init__(f"{origin}: {problem}")
        self.origin = origin
        self.problem = problem
