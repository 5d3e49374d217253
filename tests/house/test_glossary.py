"""The glossary and the code have the same vocabulary."""

import ast
import re

from tests.house.sources import OURS, PACKAGE, ROOT, listed, sources

GLOSSARY = ROOT / "docs" / "concepts" / "glossary.md"
VOCABULARY = {
    source.name: source
    for folder in ("ports", "session", "service")
    for source in sources(PACKAGE / folder)
    if source.path.parent == PACKAGE / folder
}
VOCABULARY |= {
    source.name: source
    for source in OURS
    if source.path.parent == PACKAGE / "core" and source.path.stem in ("lifecycle", "commands")
}

NOT_VOCABULARY = {
    # values that ports pass and return
    *("Accepted", "SessionSpec", "SessionInfo", "SessionClosed", "SessionEnded", "RuntimeSpec", "ModelSpec", "Retry"),
    *(
        "AwaitingCall",
        "Condensation",
        "DecideCall",
        "HistoryTurn",
        "PendingApproval",
        "ImportProgress",
        "RowChanges",
        "RunCommand",
        "EditFile",
    ),
    *("ListSnapshot", "ListChange", "LimitChanges"),
    *("GiveInput", "Query", "Printed", "RunCell", "CommandDone", "EditDone", "Running", "CallMcp", "McpDone"),
    *("ForeignConversation", "ForeignEvent", "SkippedConversation", "UnreadableConversation", "McpFunction", "McpFile"),
    *(
        "ProgramSpec",
        "ProgramSession",
        "CutLine",
        "SandboxInfo",
        "Check",
        "ConversationFilter",
        "EventRange",
        "SessionUsage",
    ),
    *("SkippedUpload", "FileChange", "FileDiff", "ShownSettings", "UserSettingsStore", "UserSecrets", "Feedback"),
    # how implementations of a port are opened, and parts of a larger port
    *("Agents", "Auth", "ChatModels", "LastingRuntimes", "McpServers", "McpTools", "Programs"),
    *("Runtimes", "Sandboxes", "SnapshotStore", "ConversationStore", "WorkspaceReader"),
    # steps inside a session
    *("CommandHandler", "CommandLoop", "Dependencies", "KnowledgeRecall", "QueuedCommand", "Ready"),
    *(
        "CircleEnd",
        "OpenedAgent",
        "SwitchableAgent",
        "Timer",
        "Timers",
        "Moving",
        "RepositorySetup",
        "SandboxLost",
        "Stopper",
        "ToolRegistry",
        "TurnHistory",
    ),
    *("Answered", "ApprovalDecisions", "Asked", "CallOfReply", "Ending", "PlannedCalls"),
    *("ApprovalDeadlines", "Question", "RejectOverdue"),
    # parts of the service layer behind one route or one file
    *("ConversationPage", "ExpectedClients", "FeedbackStore", "ImportOutcome", "IdleCloser", "SessionService"),
    *("LocalAccess", "LocalConversations", "LocalList", "LocalSharing", "LocalStates", "LocalUsage", "LocalWorkspaces"),
    *("ListFeeds", "ListFollower", "NewLink"),
    *("OperatorControl", "SessionDescriptions"),
    *("InitialInputStore", "LocalGateway", "LogImporter", "NoRepository", "Overview", "SecretsStore", "StoredInput"),
    *(
        "ModelHealth",
        "OperatorAccess",
        "ModelHealthCheck",
        "SessionFigures",
        "SandboxCounts",
        "StoredCounts",
        "SessionStatus",
        "SettingsStore",
        "TitleGenerator",
        "UploadLimits",
    ),
}
"""Public classes that need no entry: values, openers and steps that one file explains."""


def names() -> list[str]:
    """The column `name in code` of the glossary."""
    return re.findall(r"^\|[^|]+\| `(\w+)` \|", GLOSSARY.read_text(encoding="utf-8"), re.MULTILINE)


def test_every_name_of_the_glossary_is_a_class_of_the_package() -> None:
    classes = {node.name for source in OURS for node in ast.walk(source.tree) if isinstance(node, ast.ClassDef)}
    assert len(names()) > 40
    assert sorted(set(names()) - classes) == [], "The glossary names classes that do not exist."


def test_no_name_is_in_the_glossary_twice() -> None:
    found = names()
    assert sorted(found) == sorted(set(found))


def test_every_class_of_the_vocabulary_is_in_the_glossary() -> None:
    missing = [
        f"{source.name}:{node.lineno} {node.name}"
        for source in VOCABULARY.values()
        for node in source.tree.body
        if isinstance(node, ast.ClassDef) and node.name[0] != "_" and node.name not in {*names(), *NOT_VOCABULARY}
    ]
    assert not missing, listed(missing, "Add a line to docs/concepts/glossary.md, or the name to NOT_VOCABULARY.")
