"""What is wrong with a configuration. Light: the command line's root imports it."""


class ConfigError(Exception):
    """A setting cannot be used. `origin` says where it stands: a file and line, a variable, a flag."""

    def __init__(self, origin: str, problem: str) -> None:
        super().__init__(f"{origin}: {problem}")
        self.origin = origin
        self.problem = problem
