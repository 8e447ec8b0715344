"""The chain of steps that an artifact went through."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecv_cli.artifact.lineage import LINEAGE_KEY, Step, dump_lineage, read_lineage
from edgecv_cli.core.errors import ModelError

WORDS = st.text(max_size=12)
STEPS = st.builds(
    Step,
    stage=WORDS,
    config=WORDS,
    data=st.none() | WORDS,
    parents=st.lists(WORDS, max_size=3).map(tuple),
    versions=st.dictionaries(WORDS, WORDS, max_size=3),
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(STEPS, max_size=4))
def test_a_chain_comes_back_as_it_was(steps):
    text = dump_lineage(steps)

    assert read_lineage({LINEAGE_KEY: text}, "m.onnx") == tuple(steps)
    assert dump_lineage(read_lineage({LINEAGE_KEY: text}, "m.onnx")) == text


def test_the_same_step_is_the_same_text():
    one = Step(stage="prune", config="c", versions={"b": "2", "a": "1"})
    other = Step(stage="prune", config="c", versions={"a": "1", "b": "2"})

    assert dump_lineage([one]) == dump_lineage([other])
    assert "data" not in json.loads(dump_lineage([one]))[0]


def test_no_entry_is_no_lineage():
    assert read_lineage({}, "m.onnx") == ()
    assert read_lineage({LINEAGE_KEY: "[]"}, "m.onnx") == ()


def test_a_newer_versions_keys_are_passed_over():
    text = '[{"stage": "distill", "config": "c", "something": {"new": 1}}]'

    assert read_lineage({LINEAGE_KEY: text}, "m.onnx") == (Step(stage="distill", config="c"),)


@pytest.mark.parametrize(
    "text",
    ["", "null", "{}", "[1]", '[{"stage": "x"}]', "[" * 5000, "[" + "0," * 600_000 + "0]"],
)
def test_what_is_no_lineage_is_named(text):
    with pytest.raises(ModelError, match=LINEAGE_KEY) as caught:
        read_lineage({LINEAGE_KEY: text}, "some.onnx")

    assert "some.onnx" in caught.value.problem
    assert caught.value.remedy
