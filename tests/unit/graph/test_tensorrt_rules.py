"""Each rule of TensorRT's finds what breaks it, for the releases that ask it, and nothing else."""

import models
import models_tensorrt as trt
import numpy as np
import pytest
from onnx import TensorProto, helper

from edgecv_cli.core.errors import UsageError
from edgecv_cli.graph.tensorrt.preflight import preflight
from edgecv_cli.graph.tensorrt.rules import RULES
from edgecv_cli.graph.tensorrt.target import DEVICES, target_of


def broken(model, device=None, release=None, precision=None):
    """The levels at which each rule is broken."""
    found: dict[str, set[str]] = {}
    for one in preflight(model, target_of(device, release, precision)):
        found.setdefault(one.rule, set()).add(one.level)
    return found


@pytest.mark.parametrize("case", trt.CASES, ids=trt.named)
def test_what_breaks_a_rule_is_found(case):
    found = broken(case.breaks(), case.device, case.release, case.precision)
    assert case.level in found.get(case.rule, ())
    assert set(found) <= {case.rule, *case.also}


@pytest.mark.parametrize("case", [c for c in trt.CASES if c.rule != "dla-release"], ids=trt.named)
def test_what_keeps_a_rule_is_not_found(case):
    found = broken(case.keeps(), case.device, case.release, case.precision)
    assert case.rule not in found


def test_every_rule_is_whole_and_has_a_case():
    assert [rule.number for rule in RULES] == list(range(1, len(RULES) + 1))
    assert {case.rule for case in trt.CASES} == {rule.name for rule in RULES}
    for rule in RULES:
        assert rule.asks.endswith(".")
        assert rule.remedy
        assert rule.source
        assert rule.seen
        assert rule.levels or rule.dla


def test_a_finding_names_the_node_and_what_to_do():
    (finding,) = preflight(trt.layer(bias="int32"), target_of("gpu", "10.3"))
    assert (finding.rule, finding.node) == ("integer-bias", "B")
    assert "Conv 'conv'" in finding.message
    assert "--fix" in finding.remedy


def test_a_scale_may_be_a_constant_of_any_spelling():
    scale = helper.make_node("Constant", [], ["s"], value_float=0.02)
    pairs = list(trt.pair().graph.node)
    model = trt.graph([scale, *pairs], {"z": np.int8(0)})
    assert broken(model, "gpu", "10.3") == {}


def test_errors_come_first():
    model = trt.pair(np.uint8(128))
    levels = [one.level for one in preflight(model, target_of("rtx", None))]
    assert levels == sorted(levels, key=["error", "warning", "info"].index)
    assert set(levels) == {"error", "warning"}


@pytest.mark.parametrize(
    ("release", "opset", "level"),
    [("8.6", 17, None), ("8.6", 18, "error"), ("10.1", 21, "error"), ("10.3", 21, "warning"),
     ("11.1", 21, None), ("11.1", 26, "error"), ("8.6", 8, "error")],
)  # fmt: skip
def test_operator_sets_depend_on_the_release(release, opset, level):
    found = broken(trt.plain(opset=opset), "gpu", release)
    assert found == ({} if level is None else {"opset": {level}})


def test_an_absent_axis_is_read_otherwise_only_by_old_parsers():
    scales = {"scales": np.full(3, 0.01, np.float32), "points": np.zeros(3, np.int8)}
    levels = [broken(trt.layer(axis=None, **scales), *to).get("axis") for to in (
        ("gpu", "8.6"), ("gpu", "10.3"), ("gpu", "11.1"), ("rtx", None)
    )]  # fmt: skip
    assert levels == [{"error"}, {"error"}, {"warning"}, {"info"}]


def test_dla_cores_are_a_matter_of_the_release():
    says = {to: "dla-release" in broken(trt.plain(), "dla", to) for to in (
        "8.6", "10.3", "10.7", "10.8", "11.0", "11.3", "11.4"
    )}  # fmt: skip
    assert [to for to, refused in says.items() if refused] == ["10.8", "11.0", "11.3"]


def test_plugins_are_classic_tensorrts():
    node = helper.make_node("EfficientNMS_TRT", ["x"], ["y"], domain="trt.plugins")
    model = trt.graph([node], {}, domain="trt.plugins")
    assert broken(model, "gpu", "10.3") == {}
    assert broken(model, "rtx") == {"operator": {"error"}}


def test_operators_inside_of_a_branch_are_found():
    def branch(name):
        made = helper.make_node("Det", ["x"], [name], name=f"det_{name}")
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        return helper.make_graph([made], name, [], [out])

    choose = helper.make_node("If", ["c"], ["y"], then_branch=branch("a"), else_branch=branch("b"))
    model = trt.graph([choose], {"c": np.array(True)})
    found = preflight(model, target_of("gpu", "10.3"))
    assert {one.node for one in found} == {"det_a", "det_b"}


@pytest.mark.parametrize("make", [models.yolov8, models.yolox, models.ssd])
@pytest.mark.parametrize("device", sorted(DEVICES))
def test_float_detectors_break_no_rule(make, device):
    assert broken(make(), device) == {}


@pytest.mark.parametrize(
    ("device", "release", "words"),
    [("rtx", "10.3", "releases of its own"), ("gpu", "7.2", "no rules for TensorRT 7.2"),
     ("gpu", "ten", "is no version"), ("jetson-xavier", "10.3", "has no TensorRT 10.3"),
     ("gpu", "8.5", "no rules"), ("gpu", "9", "no rules"), ("gpu", "1.2.3.4.5", "no version"),
     ("gpu", "²", "no version"), ("toaster", None, "not known")],
)  # fmt: skip
def test_a_target_that_is_not_is_refused(device, release, words):
    with pytest.raises(UsageError, match=words):
        target_of(device, release)


@pytest.mark.parametrize(
    ("device", "release", "label"),
    [(None, None, "TensorRT-RTX 1.7"), (None, "10.3", "TensorRT 10.3"),
     (None, "8", "TensorRT 8.6"), ("gpu", "11", "TensorRT 11.0"),
     ("jetson-orin", None, "TensorRT 10.3"), ("dla", "8.6.1.6", "TensorRT 8.6 on a DLA core")],
)  # fmt: skip
def test_a_target_is_told_from_its_options(device, release, label):
    assert target_of(device, release).label == label
