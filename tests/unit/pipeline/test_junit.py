"""The JUnit file says what the result says, and is XML whatever names steps have."""

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from edgecv_cli.pipeline.junit import junit

STEPS = [
    {"id": "int8", "stage": "quantize", "status": "done", "seconds": 12.5, "sha256": "ab",
     "summary": "mAP 0.4", "published": ["int8.onnx"],
     "measurements": {"gates": {"max_drop": "at most 1 %: lost 0.4 %"}}},
    {"id": "again", "stage": "quantize", "status": "cached", "seconds": 9.0},
    {"id": "tight", "stage": "quantize", "status": "rejected", "why": "lost 3 %",
     "measurements": {"gates": {"max_drop": "at most 1 %: lost 3 %"}}},
    {"id": "after", "stage": "evaluate", "status": "skipped", "why": "needs tight"},
]  # fmt: skip


def parsed(result):
    root = ET.fromstring(junit(result))
    (suite,) = root
    assert root.tag == "testsuites"
    assert suite.tag == "testsuite"
    return suite


def cases(suite):
    return {case.get("name"): case for case in suite}


def test_each_step_is_a_case_with_its_outcome():
    suite = parsed({"pipeline": "p.yaml", "steps": STEPS, "seconds": 20.0})
    assert dict(suite.attrib) == {
        "name": "p.yaml", "tests": "4", "failures": "1", "errors": "0", "skipped": "1",
        "time": "20.000",
    }  # fmt: skip
    found = cases(suite)
    assert set(found) == {
        "int8 (quantize)", "again (quantize)", "tight (quantize)", "after (evaluate)",
    }  # fmt: skip
    assert {case.get("classname") for case in suite} == {"p.yaml"}
    good, cached, rejected, skipped = suite
    assert [child.tag for child in good] == ["system-out"]
    assert (good.get("time"), cached.get("time")) == ("12.500", None)
    for line in ("mAP 0.4", "sha256: ab", "published: int8.onnx", "at most 1 %: lost 0.4 %"):
        assert line in good.findtext("system-out")
    assert rejected.find("failure").attrib == {"type": "gate", "message": "lost 3 %"}
    assert rejected.findtext("failure") == "max_drop: at most 1 %: lost 3 %"
    assert skipped.find("skipped").get("message") == "needs tight"


def test_what_is_only_listed_is_skipped():
    suite = parsed({"steps": [{"id": "a", "stage": "quantize", "status": "would run"}]})
    assert (suite.get("skipped"), suite.get("name")) == ("1", "edgecv run")
    assert suite.get("time") is None


def test_an_error_is_a_case_of_its_own_after_the_finished_steps():
    error = {"kind": "model", "problem": "a.onnx is broken", "remedy": "export it again"}
    suite = parsed({"steps": STEPS[:1], "error": error})
    assert (suite.get("tests"), suite.get("errors")) == ("2", "1")
    found = suite[1].find("error")
    assert (found.get("type"), found.get("message")) == ("model", "a.onnx is broken")
    assert found.text == "fix: export it again"
    assert parsed({"error": error}).get("tests") == "1"


@given(st.text(), st.text())
def test_any_text_is_xml(name, why):
    step = {"id": name, "stage": "quantize", "status": "rejected", "why": why}
    suite = parsed({"pipeline": name, "steps": [step], "error": {
        "kind": "x", "problem": why, "remedy": name}})  # fmt: skip
    assert suite.get("tests") == "2"
