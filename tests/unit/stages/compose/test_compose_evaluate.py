"""What an evaluation's report and files say."""

from __future__ import annotations

import csv
import io

import pytest
from results import evaluated

from edgecv_cli.core.result import Interval
from edgecv_cli.measure.accuracy_difference import AccuracyDifference, ClassDifference
from edgecv_cli.measure.confusion import Confused
from edgecv_cli.measure.detection_quality import OperatingPoint
from edgecv_cli.measure.latency_gates import GateOutcome
from edgecv_cli.measure.pr_curves import PrCurves
from edgecv_cli.report import html, markdown
from edgecv_cli.report.blocks import Callout, Curves, Figures, Heading, Matrix, Table
from edgecv_cli.stages.compose.evaluate import evaluate_document
from edgecv_cli.stages.compose.evaluate_files import evaluate_csv
from edgecv_cli.stages.evaluate_result import Against

CELLS = (
    Confused(truth="cat", found="cat", count=9),
    Confused(truth="owl", found="owl", count=5),
    Confused(truth="cat", found="dog", count=2),
    Confused(truth="cat", count=1),
    Confused(truth="dog", count=1),
    Confused(truth="owl", count=2),
    Confused(found="dog", count=4),
)


def falling(top):
    return tuple(top * (100 - place) / 100 for place in range(101))


def against(**changes):
    difference = {
        "points": 2.0,
        "interval": Interval(low=-1.0, high=5.0, method="permutation of images", resamples=1000),
        "p_value": 0.2,
        "permutations": 1000,
        "distinguishable": False,
        "per_class": (
            ClassDifference(name="cat", map=0.6, against=0.3, points=30, objects=12, p_value=0.01),
        ),
        "images_for_a_point": 700,
        "text": "not distinguishable at 40 images (difference +2.0 points, -1.0 to +5.0)",
    }
    return Against(
        model="/else/other.onnx",
        sha256="0a0a",
        family="yolov8",
        map=0.48,
        map50=0.68,
        map75=0.5,
        per_class={"cat": 0.3, "dog": 0.6, "owl": 0.54},
        provider="CPUExecutionProvider",
        difference=AccuracyDifference.model_validate({**difference, **changes}),
    )


def detailed(**changes):
    facts = {
        "map_small": 0.1,
        "map_large": 0.6,
        "objects_by_size": {"small": 3, "large": 17},
        "ar100": 0.66,
        "per_class50": {"cat": 0.8, "dog": 0.6, "owl": 0.7},
        "per_class75": {"cat": 0.7, "dog": 0.3, "owl": 0.5},
        "intervals": {"map50": Interval(low=0.6, high=0.8), "map_small": Interval(low=0, high=0.2)},
        "telling": "40 images tell mAP to about 5.0 points either way",
        "curves": PrCurves(
            iou50=falling(0.9),
            iou75=falling(0.7),
            mean=falling(0.6),
            by_class={"cat": falling(1), "owl": falling(0.8)},
        ),
        "operating_point": OperatingPoint(
            threshold=0.3,
            precision=0.7,
            recall=0.7,
            f1=0.7,
            best_threshold=0.35,
            best_f1=0.72,
            precisions=(0.2, 0.5),
            recalls=(0.9, 0.8),
        ),
        "confusion": CELLS,
    }
    return evaluated(**{**facts, **changes})


def blocks(kind, result):
    return [block for block in evaluate_document(result).blocks if isinstance(block, kind)]


def test_everything_has_its_place():
    headings = [block.text for block in blocks(Heading, detailed(against=against()))]

    assert headings == [
        "Against other.onnx",
        "Precision and recall",
        "Accuracy by class",
        "At the detection threshold",
        "What is taken for what",
        "Lineage",
        "Machine",
    ]


def test_an_older_result_shows_what_it_has():
    headings = [block.text for block in blocks(Heading, evaluated())]

    assert headings == ["Accuracy by class", "Lineage", "Machine"]


def test_sizes_are_shown_with_their_objects_and_intervals():
    (figures,) = blocks(Figures, detailed())

    told = {figure.label: (figure.value, figure.detail) for figure in figures.figures}
    assert told["mAP50-95, small"] == ("0.100", "3 objects; 95 % interval 0.000 to 0.200")
    assert told["mAP50-95, large"] == ("0.600", "17 objects")
    assert "mAP50-95, medium" not in told


def test_curves_carry_their_ap():
    whole, single, scores = blocks(Curves, detailed())

    assert [(line.label, line.detail) for line in whole.lines][:2] == [
        ("IoU 0.50", "AP 0.450"),
        ("IoU 0.75", "AP 0.350"),
    ]
    assert [line.label for line in single.lines] == ["cat", "owl"]
    precision, _, f1 = scores.lines
    assert precision.points == ((0.01, 0.2), (0.02, 0.5))
    assert f1.points[0][1] == pytest.approx(2 * 0.2 * 0.9 / 1.1)


def test_confusions_stand_by_their_share_and_in_a_matrix():
    (matrix,) = blocks(Matrix, detailed())
    pairs = next(t for t in blocks(Table, detailed()) if t.header[0] == "labelled")

    assert pairs.rows == (("cat", "dog", "2", "16.7 %"),)
    assert matrix.rows == ("cat", "dog", "owl", "(nothing)")
    assert matrix.columns == ("cat", "dog", "owl", "(missed)")
    assert matrix.cells == ((9, 2, 0, 1), (0, 0, 0, 1), (0, 0, 5, 2), (0, 4, 0, 0))
    assert matrix.right == {(0, 0), (1, 1), (2, 2)}


def test_many_classes_are_folded_and_nothing_is_lost():
    names = [f"class-{place:02}" for place in range(40)]
    cells = [Confused(truth=name, found=name, count=place) for place, name in enumerate(names, 1)]
    cells.append(Confused(truth="class-03", found="class-07", count=5))
    cells.append(Confused(truth="class-09", count=2))

    (matrix,) = blocks(Matrix, detailed(confusion=tuple(cells)))

    assert matrix.rows[:2] == ("class-03", "class-07")
    assert matrix.rows[-2:] == ("(others)", "(nothing)")
    assert sum(map(sum, matrix.cells)) == sum(cell.count for cell in cells)


def test_the_other_model_stands_beside_with_the_verdict_and_the_test():
    shown = detailed(against=against())

    said = markdown.render(evaluate_document(shown))
    (callout,) = blocks(Callout, shown)

    assert (callout.word, callout.text) == ("Not shown:", shown.against.difference.text)
    for words in ("p = 0.2 by 1000 permutations", "about 700 images", "1 class in which the two"):
        assert words in said
    assert blocks(Callout, detailed(against=against(distinguishable=True)))[0].word == "Shown:"


def test_gates_come_first():
    gate = GateOutcome(
        condition="map < 0.6", model="net.onnx", engine="e", met=False, shown=True, value=0.5,
        limit=0.6, text="net.onnx on e: fails by 'map < 0.6'",
    )  # fmt: skip

    first = evaluate_document(detailed(gates=(gate,))).blocks[0]

    assert (first.word, first.tone) == ("Failed:", "bad")


def test_hostile_class_names_stay_text():
    cells = (Confused(truth="<script>", found="a|b", count=1), *CELLS)

    document = evaluate_document(detailed(confusion=cells))

    assert "<script>" not in html.render(document)
    assert "a\\|b" in markdown.render(document)


def test_csv_has_all_classes_first_and_counts_at_the_threshold():
    rows = list(csv.DictReader(io.StringIO(evaluate_csv(detailed(against=against())))))

    whole, cat, dog, _ = rows
    assert (whole["class"], whole["objects"], whole["map"], whole["points"]) == (
        "", "20", "0.5", "2.0",
    )  # fmt: skip
    assert (whole["detections"], whole["right"], whole["missed"]) == ("20", "14", "6")
    assert (cat["map50"], cat["map75"], cat["map_against"]) == ("0.8", "0.7", "0.3")
    assert (cat["detections"], cat["right"], cat["missed"]) == ("9", "9", "3")
    assert (dog["detections"], dog["right"], dog["missed"]) == ("6", "0", "1")


def test_csv_leaves_empty_what_was_not_measured():
    _, cat, *_ = csv.DictReader(io.StringIO(evaluate_csv(evaluated())))

    assert (cat["class"], cat["map"]) == ("cat", "0.6")
    assert (cat["map50"], cat["detections"]) == ("", "")
    assert "points" not in cat
