"""Findings come and go only when looks agree."""

from hypothesis import given
from hypothesis import strategies as st

from healthd.debounce import debounce
from healthd.rules import Finding, Reason

DOWN = Finding(Reason.DATABASE_DOWN)


@given(st.booleans(), st.lists(st.booleans(), min_size=1, max_size=20))
def test_a_finding_comes_and_goes_only_when_two_looks_agree(first: bool, looks: list[bool]) -> None:
    """The first look is believed; after that those findings hold on which the newest two looks agreed."""
    debounced = debounce(None, _found(first))
    believed, previous = first, first
    for look in looks:
        debounced = debounce(debounced, _found(look))
        believed = look if look == previous else believed
        previous = look
        assert (DOWN in debounced.held) is believed


def _found(is_down: bool) -> frozenset[Finding]:
    return frozenset({DOWN}) if is_down else frozenset()


def test_an_unexpected_look_asks_for_another_one_soon() -> None:
    """Contradicting looks are uncertain, so that another one clears the doubt up before the next period."""
    calm = debounce(None, frozenset())
    assert calm.is_certain
    assert not debounce(calm, _found(True)).is_certain
    assert debounce(debounce(calm, _found(True)), _found(True)).is_certain
    assert not debounce(None, _found(True)).is_certain
