"""`python -m openhands_sessions`, and the `openhands-sessions` program."""

from openhands_sessions.cli.app import main

if __name__ == "__main__":
    main()
