"""convert-tflite from file to file, with converters and LiteRT stood in for.

What the real ones make of the real detectors stands in docs/guides/convert-tflite.md.
"""

from __future__ import annotations

import errno
import json
import shutil
import stat

import lite_files
import models
import onnx
import pytest
from quantized_nets import quantized_layer
from scenes import write_dataset

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.sidecar import read_sidecar
from edgecv_cli.config.convert_tflite import ConvertTfliteConfig
from edgecv_cli.config.evaluate import EvaluateConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import (
    ChildFailureError,
    GateNotMetError,
    InterruptedByUser,
    MissingDependencyError,
    ModelError,
    OutputError,
    OutputExistsError,
    UnrecognisedError,
    UsageError,
)
from edgecv_cli.graph.litert_bundle import read_decode
from edgecv_cli.runtime import tflite_convert
from edgecv_cli.stages.convert_tflite import convert_tflite
from edgecv_cli.stages.evaluate import evaluate

SCALE = 0.0625


class Converters:
    """What the side environment does, done by definition; each may be replaced."""

    def __init__(self) -> None:
        self.network = b""
        self.samples = 0
        self.ranges = {}

    def convert(self, source, target, context):
        network = onnx.load(source)
        self.network = source.read_bytes()
        lite_files.of_network(network).write(target)
        shutil.copyfile(source, target.with_name("network.stands-for.onnx"))

    def halve(self, source, target, context):
        shutil.copyfile(source, target)

    def quantize_full(self, source, samples, ranges, target, context):
        self.samples = len(list(samples.glob("*.npy")))
        self.ranges = ranges
        network = onnx.load(source.with_name("network.onnx"))
        lite_files.of_network(network, to_int8=SCALE).write(target)


@pytest.fixture
def converters(monkeypatch):
    lite_files.stand_in(monkeypatch)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    stand_in = Converters()
    monkeypatch.setattr(tflite_convert, "require_converter", lambda: None)
    for name in ("convert", "halve", "quantize_full"):
        monkeypatch.setattr(
            tflite_convert, name, lambda *a, name=name, **k: getattr(stand_in, name)(*a, **k)
        )
    return stand_in


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "set", images=4)


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "größe a.onnx"
    onnx.save(models.yolov8(planted=True), path)
    return path


@pytest.fixture
def convert(tmp_path, model):
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)

    def run(context=None, **options):
        settings = {"model": model, "output": out / "m.tflite", "speed_seconds": 0, **options}
        return convert_tflite(ConvertTfliteConfig(**settings), context or Context())

    run.folder = out
    return run


def test_a_float_file_is_the_same_detector_and_runs_alone(converters, convert, data):
    result = convert(data=data)

    assert (result.verified, result.precision, result.decode) == ("ran", "fp32", "inside")
    assert result.agreement == 1.0
    assert result.drop.points == 0
    assert [one.order for one in result.inputs] == [(0, 3, 1, 2)]
    assert result.coral is None
    assert sorted(path.name for path in convert.folder.iterdir()) == [
        "m.tflite",
        "m.tflite.edgecv.json",
    ]
    artifact = Artifact.open(convert.folder / "m.tflite")
    assert artifact.lineage[-1].stage == "convert-tflite"
    assert artifact.lineage[-1].versions["onnx2tf"]
    assert artifact.detector().spec == result.spec
    assert read_sidecar(artifact.path, artifact.sha256)["saved"] == str(artifact.path)


def test_int8_is_cut_at_the_heads_and_evaluated_by_our_decoding(converters, convert, data):
    result = convert(
        precision="int8", calibration=data / "images", data=data, max_drop="50pt", min_agreement=0.2
    )

    assert converters.samples == 4
    assert len(converters.ranges) == 7  # the picture and the heads, which the stand-in's file has
    assert all(low <= 0 <= high and low < high for low, high in converters.ranges.values())
    assert (result.precision, result.decode, len(result.outputs)) == ("int8", "outside", 6)
    assert result.coral.full_int8
    assert result.coral.fits
    assert "not on PATH" in result.coral.compiler
    saved = convert.folder / "m.tflite"
    assert read_decode(saved) is not None
    assert Artifact.open(saved).facts().precision == "int8"

    (convert.folder / "n.stands-for.onnx").write_bytes(converters.network)
    again = evaluate(EvaluateConfig(model=saved, data=data, engine="litert"), Context())
    assert again.map == pytest.approx(result.converted.map)


def test_fp16_and_decoding_outside_of_a_float_file(converters, convert, data):
    saved = convert.folder / "fp16.tflite"  # as the work calls a file of its own
    result = convert(precision="fp16", decode="outside", images=data / "images", output=saved)

    assert (result.decode, result.agreement) == ("outside", 1.0)
    assert result.how.agreement_source == "--images"


def test_a_converter_that_ends_well_with_another_network_is_caught(converters, convert, tmp_path):
    def wrong(source, target, context):
        network = onnx.load(source)
        for tensor in network.graph.initializer:
            if len(tensor.dims) == 4:
                values = onnx.numpy_helper.to_array(tensor)
                tensor.CopyFrom(onnx.numpy_helper.from_array(-values[::-1].copy(), tensor.name))
        onnx.save(network, target.with_name("network.stands-for.onnx"))
        lite_files.of_network(network).write(target)

    converters.convert = wrong
    with pytest.raises((ModelError, GateNotMetError)):
        convert(decode="outside")
    assert list(convert.folder.iterdir()) == []


def test_a_file_that_is_coarser_than_the_gate_is_refused_and_kept_where_told(
    converters, convert, data, tmp_path
):
    kept = tmp_path / "kept.tflite"
    with pytest.raises(GateNotMetError) as caught:
        convert(
            precision="int8", calibration=data / "images", min_agreement=1.0, min_snr=100,
            keep_rejected=kept,
        )  # fmt: skip

    result = caught.value.result
    assert result.saved is None
    assert result.rejected == str(kept)
    assert kept.is_file()
    assert list(convert.folder.iterdir()) == []


def test_what_the_disk_refuses_is_an_output_error(converters, convert):
    def full(source, target, context):
        raise OSError(errno.ENOSPC, "No space left on device")

    converters.convert = full
    with pytest.raises(OutputError, match="No space left"):
        convert()
    assert list(convert.folder.iterdir()) == []


def test_an_interruption_leaves_nothing(converters, convert, data):
    context = Context()

    def interrupted(source, samples, ranges, target, given):
        given.cancel.set()
        given.cancel.check()

    converters.quantize_full = interrupted
    with pytest.raises(InterruptedByUser):
        convert(context, precision="int8", calibration=data / "images")
    assert list(convert.folder.iterdir()) == []


def test_a_converter_that_fails_is_named(converters, convert):
    def fails(source, target, context):
        raise ChildFailureError("convert-tflite: no Foo", remedy="r", reason="error")

    converters.convert = fails
    with pytest.raises(ChildFailureError, match="no Foo"):
        convert()


def test_a_taken_name_is_found_out_before_the_work(converters, convert):
    (convert.folder / "m.tflite.edgecv.json").touch()
    converters.convert = None
    with pytest.raises(OutputExistsError):
        convert()


def test_without_the_environment_it_says_what_to_type(convert, monkeypatch, tmp_path):
    monkeypatch.setenv("EDGECV_TARGETS_HOME", str(tmp_path / "none"))
    with pytest.raises(MissingDependencyError) as caught:
        convert()
    assert caught.value.remedy == "edgecv targets install tflite"


def test_open_sizes_have_to_be_told(converters, convert, model):
    onnx.save(models.yolov8(dynamic="size", planted=True), model)
    with pytest.raises(UnrecognisedError, match="any size") as caught:
        convert()
    assert "--input-size" in caught.value.remedy

    assert convert(input_size="64x64").verified == "ran"


def test_a_quantized_model_is_refused_with_what_to_give(converters, convert, model):
    onnx.save(quantized_layer(), model)
    with pytest.raises(UsageError, match="quantized") as caught:
        convert()
    assert "float model" in caught.value.remedy


def test_another_format_is_refused(converters, convert, tmp_path):
    file = lite_files.of_network(models.ssd()).write(tmp_path / "a.tflite")
    with pytest.raises(ModelError, match="no ONNX"):
        convert(model=file)


COMPILER = """#!/bin/sh
echo "Edge TPU Compiler version 16.0.384591198"
{end}
for last; do :; done
name=$(basename "$last" .tflite)
printf TFL3 > "$3/${{name}}_edgetpu.tflite"
echo "CONV_2D  3  Mapped to Edge TPU"
"""


@pytest.fixture
def compiler(tmp_path, monkeypatch):
    def put(end=""):
        folder = tmp_path / "tools"
        folder.mkdir(exist_ok=True)
        program = folder / "edgetpu_compiler"
        program.write_text(COMPILER.format(end=end))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    return put


def int8(convert, data, **more):
    return convert(
        precision="int8", calibration=data / "images", min_agreement=0.1, min_snr=0, **more
    )


def test_corals_compiler_is_called_where_it_is(converters, convert, data, compiler):
    compiler()

    coral = int8(convert, data, gates="together").coral

    assert coral.compiled.version == "16.0.384591198"
    assert coral.compiled.path == str(convert.folder / "m_edgetpu.tflite")
    assert coral.compiled.said[-1].endswith("Mapped to Edge TPU")
    assert (convert.folder / "m_edgetpu.tflite").read_bytes() == b"TFL3"
    told = json.loads((convert.folder / "m.tflite.edgecv.json").read_text())["measured"]
    assert told["coral"]["compiled"]["sha256"] == coral.compiled.sha256


@pytest.mark.parametrize("end", ["echo Internal compiler error; exit 1", "exit 0"])
def test_a_compiler_that_makes_nothing_is_told_of(converters, convert, data, compiler, end):
    compiler(end)

    result = int8(convert, data)

    assert result.saved
    assert result.coral.compiled is None
    assert "made nothing" in result.coral.compiler
