"""Whatever a pipeline's YAML holds, it is read or refused in words, and nothing is written."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import onnx
import pytest
import yaml
from fake_stages import FAKES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from models import yolov8

from edgecv_cli.config.run import RunConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import UsageError
from edgecv_cli.pipeline.run import run_pipeline
from edgecv_cli.pipeline.stages import STAGES

NAMES = sorted({name for stage in (*STAGES, *FAKES) for name in stage.config.model_fields})
PATHS = st.sampled_from(
    ["m.onnx", ".", "..", "/", "", "a\0b", "out/x.onnx", "/proc/self/mem", "~", "x" * 300, "p.yaml"]
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8),
    st.dates(), st.binary(max_size=4), PATHS, st.sampled_from(["model", "a", "b"]),
)  # fmt: skip
VALUES = st.one_of(
    SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.text(max_size=3), SCALARS)
)
STAGE_NAMES = st.sampled_from([stage.name for stage in (*STAGES, *FAKES)])
STEPS = st.one_of(
    VALUES,
    st.fixed_dictionaries(
        {"stage": STAGE_NAMES},
        optional={
            "id": st.one_of(st.sampled_from(["a", "b"]), VALUES),
            "input": st.one_of(st.sampled_from(["model", "a", "b"]), VALUES),
            "inputs": st.lists(st.sampled_from(["model", "a", "b"]), max_size=3),
            "output": st.one_of(PATHS, VALUES),
            "result": st.one_of(st.just("r.json"), PATHS, VALUES),
        },
    ).flatmap(
        lambda step: st.dictionaries(st.sampled_from(NAMES), st.one_of(PATHS, VALUES), max_size=2)
        .map(lambda more: {**more, **step})
    ),
)  # fmt: skip
FILES = st.fixed_dictionaries(
    {"steps": st.one_of(st.lists(STEPS, min_size=1, max_size=3), VALUES)},
    optional={
        "model": st.one_of(st.just("m.onnx"), VALUES),
        "data": st.one_of(PATHS, VALUES),
        "calibration": st.one_of(PATHS, VALUES),
        "spec": st.one_of(PATHS, VALUES),
        "threads": VALUES,
    },
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    onnx.save(yolov8(), folder / "m.onnx")
    return folder


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(values=FILES)
def test_any_yaml_is_read_or_refused(folder, values):
    text = yaml.safe_dump({"model": "m.onnx", **values}, allow_unicode=True)
    file = folder / "p.yaml"
    file.write_text(text, encoding="utf-8", errors="surrogatepass")
    before = sorted(folder.rglob("*"))
    config = RunConfig(pipeline=file, cache=Path("nowhere"), dry_run=True)
    with suppress(UsageError):
        result = run_pipeline(config, Context(), stages=(*STAGES, *FAKES))
        assert len(result.steps) == len(values["steps"])
    assert sorted(folder.rglob("*")) == before
