"""Ids of statuses, errors and messages, and what each of them says."""

from collections.abc import Mapping

V0_STATUSES: Mapping[str, str] = {
    "STATUS$STOPPED": "The session is not live.",
    "STATUS$BUILDING_RUNTIME": "The sandbox is made.",
    "STATUS$STARTING_RUNTIME": "The sandbox is opened.",
    "STATUS$RUNTIME_STARTED": "The sandbox runs.",
    "STATUS$SETTING_UP_WORKSPACE": "The workspace is looked at, or a repository fetched into it.",
    "STATUS$SETTING_UP_GIT_HOOKS": "Git hooks are put in place; kept for the client, never sent.",
    "STATUS$READY": "The session takes messages.",
    "STATUS$ERROR": "Something failed; the message says what.",
    "STATUS$ERROR_RUNTIME_DISCONNECTED": "The sandbox is gone.",
    "STATUS$ERROR_LLM_AUTHENTICATION": "The model's provider did not accept the key.",
    "STATUS$ERROR_LLM_SERVICE_UNAVAILABLE": "The model's provider cannot be reached or is overloaded.",
    "STATUS$ERROR_LLM_INTERNAL_SERVER_ERROR": "The model's provider failed.",
    "STATUS$ERROR_LLM_OUT_OF_CREDITS": "The account at the model's provider is out of credits.",
    "STATUS$ERROR_LLM_CONTENT_POLICY_VIOLATION": "The model's provider refused by its content policy.",
    "CHAT_INTERFACE$AGENT_RATE_LIMITED_STOPPED_MESSAGE": "The model's provider allows no more calls now.",
    "STATUS$GIT_PROVIDER_AUTHENTICATION_ERROR": "A token was not accepted; kept for the client, never sent.",
    "STATUS$LLM_RETRY": "A call of the model failed and is tried again.",
    "STATUS$ERROR_MEMORY": "A file of knowledge was not understood; the message names it.",
}
"""Statuses that the V0 client knows; it is sent no others, and shown no others."""
OWN_STATUSES: Mapping[str, str] = {
    "STATUS$INITIALIZING": "The log is read.",
    "STATUS$SETTING_UP_AGENT": "The agent, its model and its tools are made.",
    "STATUS$SETTING_UP_CONTROLLER": "All is put together.",
    "STATUS$REPLY_CUT": "The model's answer is not whole; the message says why.",
    "STATUS$HISTORY_REPAIRED": "The model refused the history and gets it in another form; the message says which.",
    "STATUS$RECONNECTING": "A gateway lost its server, and tries again.",
    "STATUS$RECONNECTED": "A gateway has its server again.",
}
"""Statuses of our own, for protocol 2."""
_SHOWN_AS: Mapping[str, str] = {
    "STATUS$INITIALIZING": "STATUS$STARTING_RUNTIME",
    "STATUS$SETTING_UP_AGENT": "STATUS$SETTING_UP_WORKSPACE",
    "STATUS$SETTING_UP_CONTROLLER": "STATUS$SETTING_UP_WORKSPACE",
}
"""What `runtime_status` shows the V0 client where the stage is our own."""
ERROR_IDS: Mapping[str, str] = {
    "AGENT_ERROR$ERROR_ACTION_NOT_EXECUTED_STOPPED": "It was stopped, before it began or while it ran.",
    "AGENT_ERROR$ERROR_ACTION_NOT_EXECUTED": "It was never begun.",
    "AGENT_ERROR$ERROR_OUTCOME_UNKNOWN": "Whether it took effect is unknown: it is not tried again by itself.",
    "AGENT_ERROR$BAD_ACTION": "The model's call was malformed, or of no tool.",
    "AGENT_ERROR$TOOL_FAILED": "The tool met an error of its own.",
    "AGENT_ERROR$LOOP": "The agent went in circles and was stopped.",
    "REPLAY$DIFFERS": "What a replay did came out otherwise than recorded.",
    "LOG$DAMAGED": "Events are damaged on the disk; this stands in their place, and the message says which they are.",
    "REPLAY$LOST": "The rest of a replay cannot be read any more.",
    "MCP$UNAVAILABLE": "An MCP server cannot be reached.",
    "MICROAGENT$NOT_UNDERSTOOD": "A file of knowledge is used only in part, or not at all.",
}
"""`error_id` of observations `error`."""
MESSAGE_IDS: Mapping[str, str] = {"CONVERSATION$NOT_FOUND": "No such conversation."}
"""`msg_id` of answers over REST."""


def v0_status(status: str) -> str:
    """The status nearest to this one that the V0 client knows."""
    return _SHOWN_AS.get(status, status)
