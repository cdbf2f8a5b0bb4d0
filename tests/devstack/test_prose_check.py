"""The check of the prose finds what it should, and nothing else."""

from pathlib import Path

import pytest

from devstack.prose_check import docstring_faults, faults, word_faults


@pytest.mark.parametrize(
    "begins", ["What it does.", "Who calls.", "Whoever calls.", "Whether it is so.", "\n    What."]
)
def test_a_docstring_that_begins_with_a_question_word_is_a_fault(begins: str) -> None:
    """Modules, classes and functions alike."""
    assert list(docstring_faults(f'"""{begins}"""'))
    assert list(docstring_faults(f'class Some:\n    """{begins}"""'))
    assert list(docstring_faults(f'async def some() -> int:\n    """{begins}"""'))


def test_whether_may_begin_the_docstring_of_a_predicate() -> None:
    """It returns a bool, or a bool where it is known."""
    assert not list(docstring_faults('def is_so() -> bool:\n    """Whether it is so."""'))
    assert not list(docstring_faults('def is_so() -> bool | None:\n    """Whether it is so, if known."""'))
    assert list(docstring_faults('def is_so() -> bool:\n    """What is so."""'))


def test_a_verb_or_a_noun_may_begin_a_docstring() -> None:
    """Words that only contain a question word are no question."""
    assert not list(docstring_faults('"""Record a webhook."""\ndef some() -> None:\n    """Whole batches at once."""'))


def test_a_sentence_without_a_subject_is_a_fault() -> None:
    """In comments and strings too, with the number of its line."""
    assert [fault.split(":")[0] for fault in word_faults("calm\n# Nobody waits\n")] == ["2"]
    assert not list(word_faults("a body"))


def test_files_are_named_and_exempt_rooms_left_out(tmp_path: Path) -> None:
    """Each fault begins with its path; generated code is not ours to write."""
    for name in ("sluice/one.py", "ingest/two.py", "sluice/three_pb2.py", "tests/four.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text('"""What it is, for whoever asks."""\n')
    (tmp_path / "sluice" / "five.sql").write_text("-- for whoever asks\n")
    found = [fault.split(":")[0] for fault in faults(tmp_path, ("ingest",))]
    assert found == ["sluice/five.sql", "sluice/one.py", "sluice/one.py", "tests/four.py"]
