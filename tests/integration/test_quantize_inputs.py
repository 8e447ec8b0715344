"""quantize takes every kind of input: calibration, gates and timing feed it as detect does."""

from __future__ import annotations

import models
import onnx
import pytest
from scenes import write_dataset

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.common import MaxDrop
from edgecv_cli.config.quantize import QuantizeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.stages.quantize import quantize

SPEC = "extra_inputs: {sizes: input-hw}\n"
YOLOV8 = models.batched(models.yolov8(planted=True), 2)
KINDS = {
    "uint8 nhwc, batch 2, second input": models.fed_with(
        models.with_size_input(YOLOV8), "uint8", "nhwc", scale=255.0
    ),
    "float16": models.halved(models.yolox(planted=True)),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "set", images=6, size=(64, 64))


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_quantized_whatever_it_is_fed(kind, data, tmp_path):
    source, out, spec = (tmp_path / name for name in ("in.onnx", "out.onnx", "spec.yaml"))
    onnx.save(KINDS[kind], source)
    spec.write_text(SPEC)
    config = QuantizeConfig(
        model=source, output=out, calibration=data, data=data, placement="last",
        estimator="minmax", bias_correction="on", equalisation="on",
        adaptive_rounding="on", min_speedup=0.0, speed_seconds=0.2, threads=1,
        max_drop=MaxDrop(20.0, "%"), spec=spec if "second" in kind else None,
    )  # fmt: skip

    result = quantize(config, Context())

    assert result.saved == str(out)
    assert result.baseline.map > 0.5
    before, after = (Artifact.open(path) for path in (source, out))
    assert after.facts().precision in ("int8", "mixed")
    read = after.detector().spec
    assert read.input.dtype == ("float32" if kind == "float16" else "uint8")
    assert [t.shape for t in after.facts().inputs] == [t.shape for t in before.facts().inputs]
    assert len(read.extra_inputs) == ("second" in kind)
