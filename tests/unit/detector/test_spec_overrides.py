from __future__ import annotations

import pytest

from edgecv_cli.core.errors import ConfigError
from edgecv_cli.detector.classes import COCO80, COCO91
from edgecv_cli.detector.overrides import apply_overrides, load_spec_overrides, overridden
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputSpec

SPEC = DetectorSpec(
    family="ssd",
    input=InputSpec(size=(64, 96)),
    outputs=OutputSpec.apart({"boxes": "b", "scores": "s"}, channels_last=True),
    classes=("background", "cat", "dog"),
    boxes="yxyx",
    background=0,
)


def written(folder, text):
    path = folder / "spec file ä.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_spec_file_is_read_as_the_command_contract_shows_it(tmp_path):
    override = load_spec_overrides(
        written(
            tmp_path,
            "family: yolox      # a comment\n"
            "input: {size: [416, 416], color: bgr, scale: 1.0, mean: [0, 0, 0], std: [1, 1, 1],"
            " resize: letterbox-topleft, pad: 114}\n"
            "classes: coco80\n"
            "score_threshold: 0.25\n"
            "nms_iou: 0.65\n",
        )
    )

    assert override["family"] == "yolox"
    assert override["classes"] == COCO80
    assert override["input"]["resize"] == "letterbox-topleft"
    assert "input.color" in dict(overridden(override))


def test_classes_may_be_a_file_of_names_beside_the_spec(tmp_path):
    (tmp_path / "names.txt").write_text("cat\n\n dog \n", encoding="utf-8")

    assert load_spec_overrides(written(tmp_path, "classes: names.txt"))["classes"] == ("cat", "dog")
    assert load_spec_overrides(written(tmp_path, "classes: coco91"))["classes"] == COCO91


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        ("familly: yolox", "unknown key `familly`", "did you mean `family`?"),
        ("input: {colour: bgr}", "unknown key `input.colour`", "did you mean `color`?"),
        ("outputs: {scoress: a}", "unknown key `outputs.scoress`", "did you mean `scores`?"),
        ("qqqq: 1", "unknown key `qqqq`", "known: activations"),
        ("1: 1", "unknown key `1`", "known: activations"),
        ("outputs: {confidence: a}", "unknown key `outputs.confidence`", "known: all"),
        ("classes: coco8", "no class list or file 'coco8'", "did you mean `coco80`?"),
        ("classes: zzz", "no class list or file 'zzz'", "give coco80"),
        ("input: 5", "`input` must hold keys", "write `input:"),
        ("family: [unclosed", "is not valid YAML, line 1", "correct it"),
        ("a: &x [1]\nb: *x", "an alias", "write the value out"),
        ("!!python/object/apply:os.system ['true']", "is not valid YAML", "correct it"),
        ("outputs: {boxes: 812}", "`outputs.boxes` is neither a name", "quote names"),
        ("outputs: {boxes: []}", "`outputs.boxes` is neither a name", "quote names"),
        ("- a\n- b", "holds no keys", "family: yolox"),
        ("", "holds no keys", "family: yolox"),
        ("[" * 900_000, "nests too deep", "lines of NAME: VALUE"),
    ],
)
def test_what_is_no_spec_is_refused_with_the_nearest_key(tmp_path, text, problem, remedy):
    with pytest.raises(ConfigError) as caught:
        load_spec_overrides(written(tmp_path, text))

    assert problem in caught.value.problem
    assert remedy in caught.value.remedy


def test_files_that_can_not_be_read_are_refused(tmp_path):
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    large = tmp_path / "large.yaml"
    large.write_text("#" * (2**20 + 1))

    for path, problem in (
        (tmp_path / "none.yaml", "can't be read"),
        (tmp_path, "can't be read"),
        (binary, "is not valid YAML"),
        (large, "larger than 1 MiB"),
    ):
        with pytest.raises(ConfigError, match=problem):
            load_spec_overrides(path)


def test_told_keys_replace_only_themselves():
    spec = apply_overrides(SPEC, {"input": {"color": "bgr"}, "nms_iou": 0.5})

    assert spec == SPEC.replace(input=InputSpec(size=(64, 96), color="bgr"), nms_iou=0.5)


def test_class_names_may_leave_the_background_out():
    assert apply_overrides(SPEC, {"classes": ["a", "b"]}).classes == ("background", "a", "b")
    assert apply_overrides(SPEC, {"classes": ["x", "a", "b"]}).classes == ("x", "a", "b")


def test_class_names_can_not_steer_a_terminal():
    spec = apply_overrides(SPEC, {"classes": ["\x1b[31mred", "a" * 500]})

    assert spec.classes[1] == "?[31mred"
    assert len(spec.classes[2]) == 100


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ({"classes": ["a"]}, "1 names for 3 scores"),
        ({"classes": "coco80"}, "80 names for 3 scores"),
        ({"classes": {"a": 1}}, "neither coco80"),
        ({"boxes": "corners"}, "detector spec, boxes: input should be"),
        ({"boxes": "ltrb"}, "detector spec: boxes ltrb go with"),
        ({"outputs": {"objectness": "o"}}, "outputs.objectness: family ssd reads b (boxes"),
        ({"anchors": [[[1, 2]]]}, "one row of"),
        ({"input": {"size": [4, 4]}}, "detector spec, input.size: each side must be"),
        ({"input": 3}, "detector spec, input"),
    ],
)
def test_values_that_make_no_sense_are_refused(override, problem):
    with pytest.raises(ConfigError) as caught:
        apply_overrides(SPEC, override)

    assert problem in caught.value.problem
    assert "--spec" in caught.value.remedy or "names" in caught.value.remedy
