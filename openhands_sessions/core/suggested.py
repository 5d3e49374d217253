"""Tasks that the web client suggests of a repository's issues and pull requests, in words for an agent."""

from typing import Literal

TaskKind = Literal[
    "MERGE_CONFLICTS", "FAILING_CHECKS", "UNRESOLVED_COMMENTS", "OPEN_ISSUE", "OPEN_PR", "CREATE_MICROAGENT"
]
_REQUEST = {"gitlab": "merge request"}
_WORDS: dict[TaskKind, str] = {
    "MERGE_CONFLICTS": (
        "{request} {number} of {repo} ({title}) cannot be merged: it is in conflict with the branch that it is for. "
        "Check its branch out, merge the other one into it, and solve each conflict so that what both sides meant is "
        "kept. Run the tests, then push."
    ),
    "FAILING_CHECKS": (
        "The checks of {request} {number} of {repo} ({title}) fail. Check its branch out, find out from their logs and "
        "by running them here what is wrong, mend the cause and not the check, and push once they pass."
    ),
    "UNRESOLVED_COMMENTS": (
        "{request} {number} of {repo} ({title}) has review comments that nobody has answered. Read each of them. "
        "Change what it asks for, or say why it should stay as it is. Run the tests, then push, and tell me what "
        "became of each comment."
    ),
    "OPEN_ISSUE": (
        "Work on issue {number} of {repo} ({title}). Read the issue and the code that it is about, make the smallest "
        "change that settles it, with a test, on a branch of its own, and open a {request} that names the issue."
    ),
    "OPEN_PR": (
        "Look at {request} {number} of {repo} ({title}). Check its branch out, run the tests, and tell me what it "
        "does, what it lacks, and what has to happen before it can be merged."
    ),
    "CREATE_MICROAGENT": (
        "Issue {number} of {repo} ({title}) asks for something that agents should know about the repository. Write it "
        "down in a file below `.openhands/microagents/`, short and true to the code, on a branch of its own, and open "
        "a {request}."
    ),
}


def task_message(kind: TaskKind, repo: str, number: int, title: str, provider: str) -> str:
    """What the user would have said."""
    request = _REQUEST.get(provider, "pull request")
    text = _WORDS[kind].format(request=request, number=f"#{number}", repo=repo, title=title or "untitled")
    return f"{text[:1].upper()}{text[1:]}"
