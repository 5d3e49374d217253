"""What one of two states has changed is taken over, what both have changed is a conflict."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from openhands_sessions.core.state import StateOp
from openhands_sessions.core.state_merging import StateAncestor, common_ancestor, merged_states

VALUES = st.dictionaries(st.sampled_from("abcd"), st.sampled_from([None, 0, 1, True, "x"]))


def merged(base: StateAncestor, ours: dict[str, Any], theirs: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Our state with what is theirs, and the keys of the conflicts."""
    taken, conflicts = merged_states(base, ours, theirs)
    values = {**ours, **{each.key: each.value for each in taken if each.op is StateOp.SET}}
    gone = {each.key for each in taken if each.op is StateOp.DELETE}
    return {key: value for key, value in values.items() if key not in gone}, [one.key for one in conflicts]


def shown(values: dict[str, Any], key: str) -> str:
    return repr(values[key]) if key in values else "gone"


@given(VALUES, VALUES, VALUES)
def test_a_key_has_the_value_of_the_side_that_has_changed_it(
    base: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    result, conflicts = merged(StateAncestor(base), ours, theirs)
    for key in {*base, *ours, *theirs}:
        before, mine, other, made = (shown(each, key) for each in (base, ours, theirs, result))
        both = mine != before and other != before and mine != other
        assert (key in conflicts) == both
        assert made == (other if mine == before else mine)


@given(VALUES, VALUES, VALUES)
def test_merging_again_takes_nothing_over(base: dict[str, Any], ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    result, conflicts = merged(StateAncestor(base), ours, theirs)
    taken, again = merged_states(StateAncestor(base), result, theirs)
    assert (list(taken), [one.key for one in again]) == ([], conflicts)


@given(VALUES, VALUES)
def test_keys_that_differ_are_conflicts_where_it_is_not_known_what_they_were(
    ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    result, conflicts = merged(StateAncestor(unknown={*ours, *theirs}), ours, theirs)
    assert result == ours
    assert conflicts == sorted(key for key in {*ours, *theirs} if shown(ours, key) != shown(theirs, key))


def test_two_copies_had_in_common_what_both_began_with() -> None:
    one, other = StateAncestor({"a": 1, "b": 1}, {"f"}), StateAncestor({"a": 1, "b": 2, "c": 3})
    assert common_ancestor(None, None) == StateAncestor()
    assert common_ancestor(one, None) == common_ancestor(None, one) == one
    assert common_ancestor(one, other) == StateAncestor({"a": 1}, {"b", "c", "f"})
