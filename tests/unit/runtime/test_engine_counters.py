"""Reading ONNX Runtime's trace and OpenVINO's counters, from ones that are made by hand."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace

import pytest

from edgecv_cli.core.errors import EngineError
from edgecv_cli.runtime.onnxruntime_trace import read_trace
from edgecv_cli.runtime.openvino_profile import mean_ns, read_counters


def node(name, at, took, kind="Conv", types=("float", "float"), stored="8"):
    args = {
        "op_name": kind,
        "provider": "CPUExecutionProvider",
        "parameter_size": stored,
        "input_type_shape": [{one: [1]} for one in types],
    }
    return {"cat": "Node", "name": f"{name}_kernel_time", "ts": at, "dur": took, "args": args}


def run(at, took):
    return {"cat": "Session", "name": "model_run", "ts": at, "dur": took, "args": {}}


def traced(tmp_path, *events):
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(list(events)))
    return read_trace(path)


def test_each_inference_but_the_first_has_a_time_in_nanoseconds(tmp_path):
    found = traced(
        tmp_path,
        node("before", 1, 4),
        run(10, 50), node("a", 12, 20), node("b", 32, 8),
        run(100, 50), node("a", 102, 10), node("b", 112, 4),
        run(200, 50), node("a", 202, 12), node("b", 214, 6),
    )  # fmt: skip

    assert [(one.name, one.ns) for one in found] == [("a", (10e3, 12e3)), ("b", (4e3, 6e3))]


def test_what_runs_others_is_left_what_it_takes_beside_them(tmp_path):
    def inference(at):
        return [
            run(at, 100), node("loop", at + 2, 60, "Loop"),
            node("inner", at + 4, 10), node("inner", at + 20, 15), node("next", at + 62, 9),
        ]  # fmt: skip

    found = {one.name: one for one in traced(tmp_path, *inference(10), *inference(200))}

    assert found["loop"].ns == (35e3,)
    assert (found["inner"].ns, found["inner"].calls) == ((25e3,), 2)
    assert found["next"].ns == (9e3,)


@pytest.mark.parametrize(
    ("kind", "types", "stored", "precision", "weighted"),
    [
        ("Conv", ["float", "float"], "8", "float32", True),
        ("Conv", ["float16", "float16"], "8", "float16", True),
        ("QLinearConv", ["uint8", "float", "uint8"], "8", "int8", True),
        ("QLinearConcat", ["float", "uint8", "uint8"], "8", "int8", False),
        ("DynamicQuantizeMatMul", ["float", "int8"], "8", "int8", True),
        ("MatMulIntegerToFloat", ["int8", "int8"], "8", "int8", True),
        ("MatMul", ["float"], "0", "float32", True),
        ("MatMul", ["float", "float"], "0", "float32", False),
        ("Add", ["float", "float"], "8", "float32", False),
        ("Add", ["int64", "int64"], "8", "int64", False),
        ("Range", [], "0", "unknown", False),
    ],
)
def test_precision_is_that_of_the_kernel(tmp_path, kind, types, stored, precision, weighted):
    events = [one for at in (0, 100) for one in (run(at, 9), node("a", at, 5, kind, types, stored))]

    (found,) = traced(tmp_path, *events)

    assert (found.kind, found.precision, found.weighted) == (kind, precision, weighted)


@pytest.mark.parametrize("text", ["", "[", "{}", "[1]", '[{"name": "model_run"}]', "\x00", "[[]]"])
def test_what_is_no_trace_is_an_engine_error(tmp_path, text):
    path = tmp_path / "trace.json"
    path.write_text(text)

    with pytest.raises(EngineError, match="profile can't be read") as caught:
        read_trace(path)
    assert caught.value.remedy


def test_a_trace_that_was_not_written_is_an_engine_error(tmp_path):
    with pytest.raises(EngineError, match="profile can't be read"):
        read_trace(tmp_path / "absent.json")


def counted(name, microseconds, kind="Convolution", kernel="jit_avx2_I8", status="EXECUTED"):
    return SimpleNamespace(
        node_name=name,
        node_type=kind,
        exec_type=kernel,
        status=SimpleNamespace(name=status),
        real_time=timedelta(microseconds=microseconds),
    )


def test_the_first_inference_is_taken_out_of_a_mean():
    first = mean_ns([counted("a", 100), counted("off", 0, status="NOT_RUN")])

    (found,) = read_counters(
        [counted("a", 40), counted("off", 0, status="NOT_RUN")],
        first=first,
        inferences=4,
        provider="CPU",
    )

    assert first == {"a": 100e3}
    assert found.ns == (20e3,)  # (4 x 40 - 100) / 3
    assert (found.name, found.provider, found.kernel) == ("a", "CPU", "jit_avx2_I8")


@pytest.mark.parametrize(
    ("kind", "kernel", "precision", "weighted"),
    [
        ("Convolution", "jit_avx2_1x1_I8", "int8", True),
        ("GroupConvolution", "brgconv_avx2_dw_f32", "float32", True),
        ("FullyConnectedCompressed", "brgemm_avx2_f32", "float32", True),
        ("FullyConnected", "gemm_mlas_bf16", "bfloat16", True),
        ("MatMul", "brgemm_avx2_f32", "float32", False),
        ("Reorder", "jit_uni_U8", "int8", False),
        ("Relu", "undef", "unknown", False),
    ],
)
def test_a_kernels_name_ends_with_its_type(kind, kernel, precision, weighted):
    (found,) = read_counters(
        [counted("a", 9, kind, kernel)], first={}, inferences=2, provider="CPU"
    )

    assert (found.precision, found.weighted) == (precision, weighted)
