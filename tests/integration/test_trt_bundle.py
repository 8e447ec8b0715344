"""The bundle for a device that no engine can be built for here: built and checked as there."""

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import fake_engines
import models
import models_tensorrt as trt
import numpy as np
import onnx
import pytest
from command_line import ROOT, edgecv
from scenes import scene
from target_plans import plan_for, seen

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.sidecar import read_sidecar
from edgecv_cli.compress.quantization.apply import apply_normalised
from edgecv_cli.compress.quantization.targets import resolve_target
from edgecv_cli.config.convert_trt import ConvertTrtConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError, EngineError, GateNotMetError, UsageError
from edgecv_cli.core.require import cv2
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.topology import Topology
from edgecv_cli.runtime import tensorrt_build
from edgecv_cli.runtime.opening import open_runner
from edgecv_cli.stages.convert_trt import convert_trt
from edgecv_cli.stages.trt_bundle.deepstream import config_text, labels_text

NAMES = {
    *("model.onnx", "build.sh", "verify.py", "cuda_runtime.py", "engine_layers.py"),
    *("golden_inputs.npz", "expected_outputs.npz", "config_infer_primary.txt", "labels.txt"),
    *("manifest.json", "SHA256SUMS", "README.md"),
}


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    """A planted detector, its symmetric int8 form, and bundles of both."""
    folder = tmp_path_factory.mktemp("bundles")
    plain = models.yolov8(planted=True)
    onnx.save(plain, folder / "float.onnx")
    topology = Topology.of(normalise(plain))
    (folder / "images").mkdir()
    fed = []
    for seed in range(3):
        image = scene(seed=seed)[0]
        cv2().imwrite(str(folder / "images" / f"{seed}.png"), image)
        resized = cv2().resize(image, (64, 64))[..., ::-1] / 255
        fed.append(resized.transpose(2, 0, 1)[None].astype(np.float32))
    plan = plan_for(topology, seen(topology, fed), resolve_target("tensorrt"), "last")
    onnx.save(apply_normalised(topology, plan), folder / "int8.onnx")
    onnx.save(models.yolov8(dynamic="batch"), folder / "batch.onnx")
    for name in ("float", "int8"):
        convert(folder / f"{name}.onnx", folder / name)
    return folder


def convert(model, output, **options):
    asked = {"device": "jetson-orin", **options}
    made = ConvertTrtConfig.from_options(model=str(model), output=str(output), **asked)
    return convert_trt(made, Context())


@pytest.fixture
def bundle(stock, tmp_path):
    """Return a function that copies a bundle to where nothing of edgecv is."""

    def copied(name):
        return Path(shutil.copytree(stock / name / "bundle", tmp_path / name))

    return copied


def trtexec(folder, banner, *, writes=True, code=0):
    """Write a trtexec that says its release, and what it was asked."""
    folder.mkdir(exist_ok=True)
    program = folder / "trtexec"
    engine = "printf engine >model.engine" if writes else ":"
    program.write_text(
        "#!/bin/sh\n"
        f"echo '&&&& RUNNING TensorRT.trtexec [TensorRT v{banner}] [b1] # trtexec'\n"
        'case "$*" in *--help*) exit 0 ;; esac\n'
        f'printf "%s\\n" "$@" >asked\n{engine}\nexit {code}\n'
    )
    program.chmod(0o755)
    return program


def build(folder, *words, banner="100300", **variables):
    path = f"{trtexec(folder.parent / 'bin', banner).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["sh", folder / "build.sh", *words],
        env={"PATH": path, **variables},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def asked(folder):
    return (folder / "asked").read_text().splitlines()


def test_the_folder_has_the_model_and_the_bundle(stock):
    assert {path.name for path in (stock / "float").iterdir()} == {
        *("bundle", "model.onnx", "model.onnx.edgecv.json")
    }
    there = {path.name for path in (stock / "float" / "bundle").iterdir()}
    assert there == NAMES
    assert {path.name for path in (stock / "int8" / "bundle").iterdir()} == {
        *NAMES,
        *("calibration.cache", "model_float.onnx"),
    }


def test_the_result_names_it_and_says_how_far_it_is_verified(stock, tmp_path):
    result = convert(stock / "float.onnx", tmp_path / "out", images=str(stock / "images"))
    assert result.verified == "structure"
    assert result.bundle == str(tmp_path / "out" / "bundle")
    assert result.bundled.pictures == 3
    assert "no jetson-orin" in result.notes[-1]
    beside = read_sidecar(tmp_path / "out" / "model.onnx", result.sha256)
    assert beside["bundled"]["files"] == result.bundled.files
    manifest = json.loads((tmp_path / "out" / "bundle" / "manifest.json").read_text())
    assert manifest["golden"]["source"] == "images"
    assert DetectorSpec.model_validate(manifest["spec"]).family == "yolov8"
    assert manifest["provenance"][-1]["stage"] == "convert-trt"


def test_every_file_is_listed_with_its_digest(stock):
    folder = stock / "int8" / "bundle"
    listed = dict(
        line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines()
    )
    assert set(listed) == {path.name for path in folder.iterdir()} - {"SHA256SUMS"}
    for name, digest in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_the_same_model_makes_the_same_bundle(stock, tmp_path):
    convert(stock / "int8.onnx", tmp_path / "again")
    sums = [path / "bundle" / "SHA256SUMS" for path in (stock / "int8", tmp_path / "again")]
    assert sums[0].read_text() == sums[1].read_text()


def test_golden_arrays_are_plain_and_fit_the_model(stock):
    folder = stock / "int8" / "bundle"
    manifest = json.loads((folder / "manifest.json").read_text())
    golden = manifest["golden"]
    for kind, name in (("inputs", "golden_inputs.npz"), ("outputs", "expected_outputs.npz")):
        with np.load(folder / name, allow_pickle=False) as arrays:
            for tensor in golden[kind]:
                assert list(arrays[tensor["key"]].shape) == [golden["pictures"], *tensor["shape"]]
    parts = golden["outputs"][0]["parts"]
    assert {part["name"] for part in parts} == {"boxes", "scores"}
    assert all(10 <= part["least_db"] <= 25 for part in parts)
    assert golden["rounding"] == "measured here"


@pytest.mark.parametrize(
    ("name", "banner", "words"),
    [
        ("int8", "8601", ["--int8", "--fp16"]),
        ("int8", "100300", ["--stronglyTyped"]),
        ("int8", "110401", ["--skipInference"]),
        ("float", "8601", []),
        ("float", "100300", []),
        ("float", "110401", ["--skipInference"]),
    ],
)
def test_the_line_is_that_of_the_release_that_is_found(bundle, name, banner, words):
    folder = bundle(name)
    done = build(folder, banner=banner)
    assert done.returncode == 0, done.stderr
    assert asked(folder) == [
        *("--onnx=model.onnx", "--saveEngine=model.engine", "--timingCacheFile=timing.cache"),
        *("--memPoolSize=workspace:2048", "--profilingVerbosity=detailed"),
        *words,
    ]
    assert (folder / "model.engine").read_bytes() == b"engine"
    assert f"TensorRT {banner}" in done.stdout
    assert "python3 verify.py" in done.stdout


@pytest.mark.parametrize("banner", ["8601", "100300"])
def test_a_calibration_cache_builds_the_float_graph_for_the_release_that_is_there(bundle, banner):
    folder = bundle("int8")
    assert build(folder, "--calibrated", banner=banner).returncode == 0
    words = asked(folder)
    assert words[0] == "--onnx=model_float.onnx"
    assert words[-3:] == ["--int8", "--fp16", "--calib=calibration.device.cache"]
    first, *rows = (folder / "calibration.device.cache").read_text().splitlines()
    assert first == f"TRT-{banner}-EntropyCalibration2"
    graph = onnx.load(folder / "model_float.onnx").graph
    names = {value.name for value in graph.input}
    names |= {name for node in graph.node for name in node.output}
    assert rows
    assert {row.rpartition(": ")[0] for row in rows} <= names
    assert not any("Linear" in node.op_type for node in graph.node)


@pytest.mark.parametrize(
    ("name", "words", "banner", "said"),
    [
        ("float", ["--calibrated"], "100300", "no calibration cache"),
        ("int8", ["--calibrated"], "110401", "takes no calibration cache"),
        ("float", [], "120000", "newer than this bundle"),
        ("float", [], "8401", "none that this bundle knows"),
        ("float", [], "none", "does not say which release"),
    ],
)
def test_what_cannot_be_built_is_refused_with_words(bundle, name, words, banner, said):
    folder = bundle(name)
    done = build(folder, *words, banner=banner)
    assert done.returncode == 1
    assert said in done.stderr
    assert not (folder / "model.engine").exists()


def test_the_release_may_be_named_and_nothing_built(bundle):
    folder = bundle("float")
    done = build(folder, "--dry-run", banner="none", TENSORRT_RELEASE="8601")
    assert done.returncode == 0
    assert "TensorRT 8601" in done.stdout
    assert not (folder / "model.engine").exists()
    assert build(folder, "--fast").returncode == 2


def test_a_changed_file_stops_the_build(bundle):
    folder = bundle("float")
    (folder / "labels.txt").write_text("other\n")
    done = build(folder)
    assert done.returncode == 1
    assert "missing or changed" in done.stderr


@pytest.mark.parametrize(("writes", "code"), [(True, 1), (False, 0)])
def test_a_trtexec_that_fails_leaves_no_engine(bundle, writes, code):
    folder = bundle("float")
    program = trtexec(folder.parent / "other", "100300", writes=writes, code=code)
    done = build(folder, TRTEXEC=str(program))
    assert done.returncode == 1
    assert "build.log" in done.stderr
    assert not (folder / "model.engine").exists()


def test_a_release_whose_rules_refuse_the_model_is_not_built_for(stock, tmp_path, bundle):
    newer = onnx.version_converter.convert_version(onnx.load(stock / "float.onnx"), 19)
    onnx.save(newer, tmp_path / "new.onnx")
    result = convert(tmp_path / "new.onnx", tmp_path / "new")
    assert set(result.bundled.refused) == {"8.6"}
    done = build(tmp_path / "new" / "bundle", banner="8601")
    assert done.returncode == 1
    assert "--trt-version 8.6" in done.stderr
    assert build(tmp_path / "new" / "bundle", banner="100300").returncode == 0


def test_a_dla_core_gets_the_float_graph_and_a_release_that_has_it(stock, tmp_path):
    result = convert(stock / "int8.onnx", tmp_path / "dla", device="dla")
    folder = tmp_path / "dla" / "bundle"
    assert "--useDLACore=0" in result.command
    assert build(folder, banner="100300").returncode == 0
    assert asked(folder)[-5:] == [
        *("--int8", "--fp16", "--calib=calibration.device.cache", "--useDLACore=0"),
        "--allowGPUFallback",
    ]
    refused = build(folder, banner="110000")
    assert "does not run on DLA cores" in refused.stderr
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["precision"]["expected"] is None


def test_settings_and_shapes_stand_in_the_line(stock, tmp_path):
    (tmp_path / "known").write_bytes(b"learnt")
    convert(
        stock / "batch.onnx",
        tmp_path / "out",
        max_batch=4,
        workspace=512,
        builder_level=5,
        version_compatible=True,
        hardware_compatible="ampere+",
        timing_cache=str(tmp_path / "known"),
    )
    folder = tmp_path / "out" / "bundle"
    assert (folder / "timing.cache").read_bytes() == b"learnt"
    assert build(folder).returncode == 0
    assert asked(folder)[3:] == [
        *("--memPoolSize=workspace:512", "--profilingVerbosity=detailed"),
        *("--builderOptimizationLevel=5", "--versionCompatible"),
        "--hardwareCompatibilityLevel=ampere+",
        *("--minShapes=images:1x3x64x64", "--optShapes=images:4x3x64x64"),
        "--maxShapes=images:4x3x64x64",
    ]


def test_what_does_not_fit_together_is_refused(stock, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(EngineError, match="leaves its batch open"):
        convert(stock / "float.onnx", out, max_batch=4)
    with pytest.raises(DataError, match="timing cache"):
        convert(stock / "float.onnx", out, timing_cache=str(tmp_path / "none"))
    with pytest.raises(UsageError, match="classic TensorRT"):
        convert(stock / "float.onnx", out, device="rtx", workspace=64)
    with pytest.raises(GateNotMetError, match="verified here: structure; asked for: ran"):
        convert(stock / "float.onnx", out, require="ran")
    assert not list(tmp_path.iterdir())


def verify(folder, *words, fault="", **variables):
    done = subprocess.run(
        [sys.executable, folder / "verify.py", "--json", *words],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(fake_engines.FOLDER),
            "FAKE_CUDART": "1",
            "FAKE_TENSORRT_FAULT": fault,
            **variables,
        },
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


@pytest.fixture
def built(bundle, monkeypatch):
    """Return a function that copies a bundle and builds its engine with the stand-in."""
    fake_engines.install(monkeypatch)

    def made(name):
        folder = bundle(name)
        model = onnx.load(folder / "model.onnx")
        engine = folder.parent / "made.engine"
        assert not fake_engines.build(model, engine, quantized=name == "int8")["refused"]
        engine.rename(folder / "model.engine")
        return folder

    return made


def failed(report):
    return {check["name"]: check["message"] for check in report["checks"] if not check["passed"]}


def test_a_sound_engine_is_verified(built):
    code, report = verify(built("int8"))
    assert (code, failed(report)) == (0, {})
    assert report["verified"] is True
    assert report["tensorrt"] == "10.3.0"
    assert report["precision"]["counts"].keys() == {"int8"}
    assert {row["output"] for row in report["outputs"]} == {"output0, boxes", "output0, scores"}


def test_an_engine_of_the_float_graph_is_held_against_what_quantizing_costs(built):
    folder = built("int8")
    engine = folder.parent / "made.engine"
    fake_engines.build(onnx.load(folder / "model_float.onnx"), engine)
    engine.replace(folder / "model.engine")
    strict = verify(folder, "--any-precision")[1]["outputs"]
    (folder / "calibration.device.cache").write_text("built with it\n")
    code, report = verify(folder, "--any-precision")
    assert (code, failed(report)) == (0, {})
    for row, before in zip(report["outputs"], strict, strict=True):
        assert row["snr_db"] == before["snr_db"]
        assert row["least_db"] <= row["snr_db"] - 9.9
    assert verify(folder)[0] == 3  # a float graph, and no layer in int8


@pytest.mark.parametrize(
    ("fault", "check", "said"),
    [
        ("wrong", "outputs", "dB (at least"),
        ("nan", "outputs", "not finite"),
        ("missing", "interface", "the model"),
        ("float", "precision", "not in int8"),
        ("names", "precision", "does not say"),
    ],
)
def test_a_wrong_engine_is_not(built, fault, check, said):
    code, report = verify(built("int8"), fault=fault)
    assert code == 3
    assert report["verified"] is False
    assert said in failed(report)[check]


def test_a_changed_file_is_found_before_anything_runs(built):
    folder = built("float")
    with (folder / "expected_outputs.npz").open("ab") as file:
        file.write(b"x")
    code, report = verify(folder)
    assert code == 3
    assert failed(report) == {"files": "missing or changed: expected_outputs.npz"}
    assert "engine" not in report


def test_what_keeps_it_from_being_checked_is_said(built, tmp_path):
    folder = built("float")
    assert verify(folder)[0] == 0
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.10 is missing')\n")
    lacking = {"FAKE_CUDART": "", "CUDART_LIBRARY": "/nowhere/libcudart.so"}
    for variables, said in (
        ({"PYTHONPATH": str(broken)}, "libnvinfer.so.10 is missing"),
        ({"FAKE_TENSORRT_VERSION": "10.7.0"}, "run build.sh here"),
        (lacking, "CUDA runtime can't be loaded"),
    ):
        code, report = verify(folder, **variables)
        assert code == 1
        assert said in report["error"]
    (folder / "model.engine").unlink()
    code, report = verify(folder)
    assert code == 1
    assert "sh build.sh" in report["error"]


def test_it_tells_a_reader_too(built):
    done = subprocess.run(
        [sys.executable, built("float") / "verify.py"],
        env={"PYTHONPATH": str(fake_engines.FOLDER), "FAKE_CUDART": "1", "PATH": "/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "verified"


@pytest.mark.parametrize("name", ["verify.py", "cuda_runtime.py", "engine_layers.py"])
def test_what_runs_on_the_device_is_python_3_8_without_edgecv(stock, name):
    text = (stock / "float" / "bundle" / name).read_text()
    tree = ast.parse(text, feature_version=(3, 8))
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not any(module.startswith("edgecv") for module in imported)
    assert "from __future__ import annotations" in text


def test_deepstream_gets_what_is_certain_and_is_told_the_rest():
    spec = models_spec(std=(2.0, 2.0, 2.0), mean=(1.0, 2.0, 3.0), scale=255.0, resize="letterbox")
    text = config_text(spec, "int8")
    fields = dict(line.split("=") for line in text.splitlines() if "=" in line and line[0] != "#")
    assert float(fields["net-scale-factor"]) == pytest.approx(1 / 510)
    assert fields["offsets"] == "255;510;765"
    assert (fields["network-mode"], fields["model-color-format"]) == ("1", "0")
    assert (fields["maintain-aspect-ratio"], fields["symmetric-padding"]) == ("1", "1")
    assert "parse-bbox-func-name" not in fields
    assert "MISSING parse-bbox-func-name" in text
    assert "MISSING the colour beside a picture" in text
    uneven = config_text(models_spec(std=(1.0, 2.0, 3.0)), "fp16")
    assert "net-scale-factor=" not in uneven
    assert "MISSING net-scale-factor" in uneven
    assert "net-scale-factor=" not in config_text(models_spec(dtype="uint8"), "fp32")


def models_spec(**changes):
    spec = DetectorSpec.model_validate(
        {
            "family": "generic",
            "input": {"size": [64, 96], "resize": "stretch", **changes},
            "outputs": {"tensors": []},
            "classes": ["cat", "big\ndog"],
            "boxes": "xyxy",
        }
    )
    assert labels_text(spec) == "cat\nbig dog\n"
    return spec


class TestHere:
    """This machine taken for the device: a GPU with classic TensorRT."""

    @pytest.fixture(autouse=True)
    def device(self, monkeypatch):
        fake_engines.install(monkeypatch)
        monkeypatch.setattr(tensorrt_build, "Child", _Inside)

    def test_an_engine_is_built_run_and_opened_again(self, stock, tmp_path):
        out = tmp_path / "out"
        result = convert(stock / "int8.onnx", out, device="gpu", trt_version="10.3", require="ran")
        assert result.verified == "ran"
        assert result.bundle is None
        assert result.engine.runtime == "TensorRT 10.3.0"
        assert result.engine.precision.startswith("int8 ")
        assert result.engine.parity.pictures > 0
        assert {path.name for path in out.iterdir()} == {
            *("model.onnx", "model.onnx.edgecv.json", "timing.cache"),
            *("model.engine", "model.engine.edgecv.json"),
        }
        artifact = Artifact.open(out / "model.engine")
        assert artifact.detector().spec == Artifact.open(out / "model.onnx").detector().spec
        runner = open_runner(artifact, "tensorrt")
        assert runner.inputs == artifact.facts().inputs

    @pytest.mark.parametrize(
        ("fault", "said"),
        [
            ("wrong", "other outputs than ONNX Runtime"),
            ("nan", "not finite"),
            ("float", "meant for int8 run in float"),
            ("unbuilt", "no kernel for this"),
        ],
    )
    def test_a_wrong_engine_is_not_saved(self, stock, tmp_path, monkeypatch, fault, said):
        monkeypatch.setenv("FAKE_TENSORRT_FAULT", fault)
        with pytest.raises(GateNotMetError, match=said) as refused:
            convert(stock / "int8.onnx", tmp_path / "out", device="gpu", trt_version="10.3")
        assert refused.value.result.saved is None
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("options", "variables", "said"),
        [
            ({"device": "gpu", "trt_version": "11.4"}, {}, "--trt-version 10.3"),
            ({"device": "gpu"}, {"FAKE_CUDA_DEVICES": "0"}, "no GPU that it could use"),
            ({"device": "jetson-orin"}, {}, "no jetson-orin"),
        ],
    )
    def test_what_does_not_fit_gets_a_bundle(
        self, stock, tmp_path, monkeypatch, options, variables, said
    ):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        result = convert(stock / "float.onnx", tmp_path / "out", **options)
        assert result.bundle is not None
        assert said in result.notes[-1]

    def test_an_engine_with_code_of_its_own_is_only_run_where_it_was_built(self, stock, tmp_path):
        asked = {"device": "gpu", "trt_version": "10.3", "version_compatible": True}
        assert convert(stock / "float.onnx", tmp_path / "out", **asked).verified == "ran"
        with pytest.raises(EngineError, match="--version-compatible"):
            open_runner(Artifact.open(tmp_path / "out" / "model.engine"), "tensorrt")

    def test_a_jetson_is_known_by_its_board(self, stock, tmp_path, monkeypatch):
        (tmp_path / "board").write_bytes(b"NVIDIA Jetson Orin Nano\0")
        monkeypatch.setattr(tensorrt_build, "_BOARD", tmp_path / "board")
        assert convert(stock / "float.onnx", tmp_path / "out").verified == "ran"


class _Inside:
    """The service without a process."""

    def __init__(self, service, **_):
        assert service == "tensorrt"

    def __enter__(self):
        from edgecv_cli.runtime.tensorrt_service import TensorRtService

        return TensorRtService()

    def __exit__(self, *_):
        return None


def test_the_service_is_reached_through_a_process(stock, tmp_path):
    path = os.pathsep.join([str(ROOT), str(fake_engines.FOLDER)])
    done = edgecv(
        *("convert-trt", stock / "float.onnx", "-o", tmp_path / "out", "--device", "gpu"),
        *("--trt-version", "10.3", "--json", "--quiet"),
        PYTHONPATH=path,
        FAKE_CUDART="1",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verified"] == "ran"


def test_layers_without_a_name_are_known_by_their_output(tmp_path):
    from edgecv_cli.stages.trt_bundle.bundle import layers_meant

    model = trt.layer()
    for node in model.graph.node:
        node.name = ""
    (name,) = layers_meant(model)
    assert name.startswith("node_of_")
