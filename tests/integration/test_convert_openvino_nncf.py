"""int8 by NNCF on the way to an IR: a stand-in for the library, and the library where it is."""

from __future__ import annotations

import importlib.util
import shutil
import sys
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import models
import onnx
import pytest
from results import quantized
from scenes import write_dataset

import edgecv_cli.stages.convert_openvino_int8 as int8_module
import edgecv_cli.stages.converting.verify as verify_module
from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.convert_openvino import ConvertOpenVinoConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import (
    ChildFailureError,
    DataError,
    EngineError,
    GateNotMetError,
    MissingDependencyError,
)
from edgecv_cli.runtime.openvino_convert import write_ir
from edgecv_cli.stages.convert_openvino import convert_openvino
from edgecv_cli.stages.convert_openvino_nncf import NncfMade, has_nncf, nncf_step
from edgecv_cli.stages.convert_openvino_nncf_service import NncfService

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="the package openvino is not installed: pip install -e '.[openvino]'",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "set", images=4, size=(64, 64))


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "m.onnx"
    onnx.save(models.yolov8(planted=True), path)
    return path


@pytest.fixture
def nncf(monkeypatch):
    """The part of ``nncf`` that is used; it looks at every image twice, as the real one may."""
    seen = []

    class Dataset:
        def __init__(self, source, transform):
            self.source, self.transform = source, transform

        def get_inference_data(self):
            return (self.transform(one) for one in self.source)

    def quantize(model, dataset, *, preset, target_device, subset_size, ignored_scope):
        first, again = (list(dataset.get_inference_data()) for _ in range(2))
        seen.append((first, again, preset, target_device, subset_size, ignored_scope))
        return model

    fake = SimpleNamespace(
        __version__="9.9",
        Dataset=Dataset,
        QuantizationPreset=lambda name: {"mixed": "MIXED"}[name],
        TargetDevice=SimpleNamespace(CPU="CPU"),
        quantize=quantize,
        IgnoredScope=lambda names: names,
        set_log_level=lambda _: None,
    )
    monkeypatch.setitem(sys.modules, "nncf", fake)
    return seen


def asked(model, target, images):
    spec = Artifact.open(model).detector().spec
    return {
        "model": str(model),
        "target": str(target),
        "spec": spec.dumps(),
        "images": [str(path) for path in images],
        "preset": "mixed",
        "first_in_float": False,
    }


@pytest.fixture
def plain(model, tmp_path):
    """The detector as a float IR that carries its spec."""
    path = tmp_path / "plain.xml"
    config = ConvertOpenVinoConfig(model=model, output=path, speed_seconds=0, threads=1)
    convert_openvino(config, Context())
    return path


class TestService:
    def test_images_are_fed_as_the_detector_is_fed_and_kept_apart(self, nncf, plain, data):
        images = sorted((data / "images").iterdir())
        target = plain.with_name("int8.xml")

        answer = NncfService().call("quantize", asked(plain, target, images))

        first, again, preset, device, size, ignored = nncf[0]
        assert answer == {"version": "9.9", "skipped": []}
        assert (preset, device, size, ignored) == ("MIXED", "CPU", 4, [])
        assert all(one["images"].shape == (1, 3, 64, 64) for one in first)
        assert 0 <= first[0]["images"].min() < first[0]["images"].max() <= 1
        assert (first[0]["images"] != first[1]["images"]).any()
        assert all((a["images"] == b["images"]).all() for a, b in zip(first, again, strict=True))
        assert Artifact.open(target).facts().inputs[0].name == "images"

    def test_the_layer_that_reads_the_image_may_stay_float(self, nncf, plain, data):
        image = min((data / "images").iterdir())
        payload = asked(plain, plain.with_name("int8.xml"), [image])

        NncfService().call("quantize", {**payload, "first_in_float": True})

        (name,) = nncf[0][-1]
        layers = ET.parse(plain).getroot().iter("layer")
        convolutions = [one for one in layers if one.get("type") == "Convolution"]
        first = min(convolutions, key=lambda one: int(one.get("id")))
        assert name == first.get("name")

    def test_a_damaged_image_is_skipped_and_none_at_all_is_an_error(self, nncf, plain, data):
        bad = plain.with_name("bad.jpg")
        bad.write_bytes(b"no picture")
        good = min((data / "images").iterdir())
        target = plain.with_name("int8.xml")

        answer = NncfService().call("quantize", asked(plain, target, [bad, good]))
        assert [text.partition(": ")[0] for text in answer["skipped"]] == ["bad.jpg"]
        target.unlink()

        with pytest.raises(DataError, match="none of the 1 calibration images"):
            NncfService().call("quantize", asked(plain, target, [bad]))
        assert not target.exists()


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "m.xml"


def run(model, out, data, **options):
    settings = {
        "precision": "int8", "calibration": data / "images", "speed_seconds": 0, "threads": 1,
        "min_agreement": 0.0, **options,
    }  # fmt: skip
    return convert_openvino(ConvertOpenVinoConfig(model=model, output=out, **settings), Context())


@pytest.fixture
def installed(monkeypatch):
    """NNCF is there, and its int8 is the float network: what counts is what is done with it."""
    monkeypatch.setattr(int8_module, "has_nncf", lambda: True)
    monkeypatch.setattr(int8_module, "require_nncf", lambda: None)

    def quantize(xml, target, *_, **__):
        for ending in (".xml", ".bin"):
            target.with_suffix(ending).write_bytes(xml.with_suffix(ending).read_bytes())
        return NncfMade(target, "9.9", ())

    monkeypatch.setattr(int8_module, "quantize_with_nncf", quantize)


def refuse(*_, **__):
    raise GateNotMetError("int8 is slower", remedy="leave it", result=SimpleNamespace())


class TestStage:
    def test_its_form_is_converted_verified_and_says_where_it_comes_from(
        self, installed, model, out, data
    ):
        result = run(model, out, data, quantizer="nncf")

        assert result.quantizer == "nncf"
        assert result.verified == "ran"
        assert result.how.agreement_source == "--calibration"
        assert [step.stage for step in result.provenance] == ["quantize", "convert-openvino"]
        assert result.provenance[0].versions["nncf"] == "9.9"
        assert result.provenance[0].parents == (Artifact.open(model).content_digest,)
        assert Artifact.open(out).detector().spec == Artifact.open(model).detector().spec

    def test_one_that_is_not_accurate_enough_is_made_again_with_the_first_layer_in_float(
        self, installed, model, out, data, monkeypatch
    ):
        other = out.with_name("other.onnx")
        onnx.save(models.yolov8(planted=True, seed=7), other)
        asked = []

        def quantize(xml, target, *_, first_in_float=False):
            asked.append(first_in_float)
            source = model if first_in_float else other
            write_ir(source, target, half=False, fold=True, shapes={}, entries={})
            return NncfMade(target, "9.9", ())

        monkeypatch.setattr(int8_module, "quantize_with_nncf", quantize)

        result = run(model, out, data, quantizer="nncf", min_snr=60.0)

        assert asked == [False, True]
        assert result.saved
        (note,) = [text for text in result.notes if "first layer is left in float" in text]
        assert "min_snr" in note
        plain_step = nncf_step("x", [], "9.9").config
        assert result.provenance[0].config != plain_step

    def test_auto_keeps_it_where_edgecv_is_refused(self, installed, model, out, data, monkeypatch):
        monkeypatch.setattr(int8_module, "make_int8", refuse)

        result = run(model, out, data)

        assert result.quantizer == "nncf"
        assert [(one.quantizer, one.refused) for one in result.tried] == [
            ("edgecv", "int8 is slower"),
            ("nncf", None),
        ]
        assert any("NNCF's int8 is the one that met the gates" in note for note in result.notes)

    @pytest.mark.parametrize(("ratio", "kept"), [(1.5, "nncf"), (0.5, "edgecv")])
    def test_auto_times_both_in_turns_and_keeps_the_faster(
        self, installed, model, out, data, monkeypatch, ratio, kept
    ):
        timed = []

        def make(config, path, *_, **__):
            shutil.copyfile(config.model, path)
            return quantized()

        def untimed(*_, **__):
            raise EngineError("not here", remedy="")

        def benchmark(rows, **_):
            timed.append([row.model.parent.name for row in rows])
            return SimpleNamespace(
                ratios=[SimpleNamespace(ratio=ratio, low=ratio - 0.1, high=ratio + 0.1)]
            )

        monkeypatch.setattr(int8_module, "make_int8", make)
        monkeypatch.setattr(int8_module, "benchmark", benchmark)
        monkeypatch.setattr(verify_module, "benchmark", untimed)

        result = run(model, out, data, speed_seconds=1.0)

        assert timed == [["converted-edgecv", "converted-nncf"]]
        assert result.quantizer == kept
        assert [(one.quantizer, one.agreement) for one in result.tried] == [
            ("edgecv", 1.0),
            ("nncf", 1.0),
        ]
        assert any("int8 is kept, faster" in note for note in result.notes)

    def test_where_both_fail_edgecv_s_refusal_is_said(
        self, installed, model, out, data, monkeypatch
    ):
        def crash(*_, **__):
            raise ChildFailureError("NNCF crashed", remedy="try again", reason="crashed")

        monkeypatch.setattr(int8_module, "make_int8", refuse)
        monkeypatch.setattr(int8_module, "quantize_with_nncf", crash)

        with pytest.raises(GateNotMetError, match="int8 is slower"):
            run(model, out, data)
        with pytest.raises(ChildFailureError, match="NNCF crashed"):
            run(model, out, data, quantizer="nncf")
        assert list(out.parent.iterdir()) == []

    def test_auto_goes_on_without_an_nncf_that_can_t_be_loaded(
        self, installed, model, out, data, monkeypatch
    ):
        def make(config, path, *_, **__):
            shutil.copyfile(config.model, path)
            return quantized()

        def broken(*_, **__):
            raise MissingDependencyError("No module named 'scipy'", remedy="install it")

        monkeypatch.setattr(int8_module, "make_int8", make)
        monkeypatch.setattr(int8_module, "quantize_with_nncf", broken)

        result = run(model, out, data)

        assert result.quantizer == "edgecv"
        assert result.tried[1].refused == "No module named 'scipy'"
        with pytest.raises(MissingDependencyError, match="scipy"):
            run(model, out, data, quantizer="nncf", force=True)

    def test_asked_for_and_not_installed_is_an_error_with_the_line_to_type(
        self, model, out, data, monkeypatch
    ):
        monkeypatch.setitem(sys.modules, "nncf", None)

        with pytest.raises(MissingDependencyError) as caught:
            run(model, out, data, quantizer="nncf")

        assert "pip install 'edgecv[nncf]'" in caught.value.remedy


@pytest.mark.slow
@pytest.mark.skipif(
    not has_nncf(), reason="the package nncf is not installed: pip install -e '.[nncf]'"
)
def test_the_library_itself_makes_integers(model, out, data):
    result = run(model, out, data, quantizer="nncf")

    assert "int8" in result.layers
    assert Artifact.open(out).facts().precision == "int8"
