"""Ids of statuses, errors and messages, and what each of them says."""

from collections.abc import Mapping

V0_STATUSES: Mapping[str, str] = {
    "STATUS$STOPPED": "The session is not live.",
    "STATUS$BUILDING_RUNTIME": "The sandbox is being created.",
    "STATUS$STARTING_RUNTIME": "The sandbox is being started.",
    "STATUS$RUNTIME_STARTED": "The sandbox runs.",
    "STATUS$SETTING_UP_WORKSPACE": "The workspace is being read, or a repository fetched into it.",
    "STATUS$SETTING_UP_GIT_HOOKS": "Never sent; the V0 client knows it.",
    "STATUS$READY": "The session accepts messages.",
    "STATUS$ERROR": "Something failed; the message says what.",
    "STATUS$ERROR_RUNTIME_DISCONNECTED": "The sandbox is gone.",
    "STATUS$ERROR_LLM_AUTHENTICATION": "The model's provider did not accept the key.",
    "STATUS$ERROR_LLM_SERVICE_UNAVAILABLE": "The model's provider cannot be reached or is overloaded.",
    "STATUS$ERROR_LLM_INTERNAL_SERVER_ERROR": "The model's provider failed.",
    "STATUS$ERROR_LLM_OUT_OF_CREDITS": "The account at the model's provider is out of credits.",
    "STATUS$ERROR_LLM_CONTENT_POLICY_VIOLATION": "The model's provider refused by its content policy.",
    "CHAT_INTERFACE$AGENT_RATE_LIMITED_STOPPED_MESSAGE": "The model's provider limits the rate of requests.",
    "STATUS$GIT_PROVIDER_AUTHENTICATION_ERROR": "Never sent; the V0 client knows it.",
    "STATUS$LLM_RETRY": "A model call failed and is repeated.",
    "STATUS$ERROR_MEMORY": "A microagent was not understood; the message names the file.",
}
"""Statuses that the V0 client knows; it is sent no others, and shown no others."""
OWN_STATUSES: Mapping[str, str] = {
    "STATUS$INITIALIZING": "The log is being read.",
    "STATUS$SETTING_UP_AGENT": "The agent is being opened, with its model and tools.",
    "STATUS$SETTING_UP_CONTROLLER": "The controller is being made; it is the last stage.",
    "STATUS$QUOTA_REACHED": "A quota of the user leaves no room for a model call; the message says which.",
    "STATUS$REPLY_CUT": "The model's answer is incomplete; the message says why.",
    "STATUS$HISTORY_REPAIRED": "The model refused the history and now gets it in another form; the message says which.",
    "STATUS$NO_PROGRESS": "Nothing happens in a turn; the message says for how long, and what it waits for.",
    "STATUS$RECONNECTING": "A gateway lost the connection to its server and tries again.",
    "STATUS$RECONNECTED": "A gateway is connected to its server again.",
}
"""Statuses of our own, for protocol 2."""
V0_WITHOUT_ID = frozenset({"STATUS$NO_PROGRESS"})
"""Statuses of our own that the V0 client is sent too, by their message alone."""
_SHOWN_AS: Mapping[str, str] = {
    "STATUS$INITIALIZING": "STATUS$STARTING_RUNTIME",
    "STATUS$SETTING_UP_AGENT": "STATUS$SETTING_UP_WORKSPACE",
    "STATUS$SETTING_UP_CONTROLLER": "STATUS$SETTING_UP_WORKSPACE",
}
"""What `runtime_status` shows the V0 client where the stage is our own."""
ERROR_IDS: Mapping[str, str] = {
    "AGENT_ERROR$ERROR_ACTION_NOT_EXECUTED_STOPPED": "The action was stopped, before it began or while it ran.",
    "AGENT_ERROR$ERROR_ACTION_NOT_EXECUTED": "The action was not begun.",
    "AGENT_ERROR$ERROR_OUTCOME_UNKNOWN": "It is unknown whether the action took effect; it is not repeated.",
    "AGENT_ERROR$BAD_ACTION": "The model's call was malformed, or named no known tool.",
    "AGENT_ERROR$DENIED_BY_RULE": "A confirmation rule denies the call; the message says which.",
    "AGENT_ERROR$TOOL_FAILED": "The tool failed with an error of its own.",
    "AGENT_ERROR$LOOP": "The agent repeated itself and was stopped.",
    "REPLAY$DIFFERS": "A replayed step had another result than recorded.",
    "LOG$DAMAGED": "Events are damaged on the disk; this stands in their place, and the message says which they are.",
    "REPLAY$LOST": "The remaining steps of a replay cannot be read.",
    "MCP$UNAVAILABLE": "An MCP server cannot be reached.",
    "MICROAGENT$NOT_UNDERSTOOD": "A microagent is used only in part, or not at all.",
}
"""`error_id` of observations `error`."""
MESSAGE_IDS: Mapping[str, str] = {"CONVERSATION$NOT_FOUND": "The conversation does not exist."}
"""`msg_id` of answers over REST."""


def v0_status(status: str) -> str:
    """The status nearest to this one that the V0 client knows."""
    return _SHOWN_AS.get(status, status)
