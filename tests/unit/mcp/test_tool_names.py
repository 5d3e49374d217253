"""Names of MCP tools as models are told them."""

from openhands_sessions.adapters.mcp.sdk import LONGEST_NAME, ToolNames


def test_names_are_plain_short_and_unlike() -> None:
    names = ToolNames()
    given = [("git hub", "list/issues"), ("git_hub", "list.issues"), ("ü", ""), ("s" * 80, "t"), ("s" * 80, "u")]
    taken = [names.take(server, tool) for server, tool in given]
    assert taken[:3] == ["mcp_git_hub_list_issues", "mcp_git_hub_list_issues_2", "mcp_x_x"]
    assert len(set(taken)) == len(taken)
    assert max(map(len, taken)) <= LONGEST_NAME
