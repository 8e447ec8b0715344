"""What a probe of the preprocessing says."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from edgecv_cli.cli.render.probe import render_probe
from edgecv_cli.core.result import Interval
from edgecv_cli.measure.preprocessing_result import ProbedSetting, ProbeResult


def setting(**changes):
    given = {
        "color": "bgr", "scale": 1.0, "mean": (0, 0, 0), "std": (1, 1, 1), "resize": "stretch",
        "values": "0..255", "score": 0.75, "differs": (),
    }  # fmt: skip
    return ProbedSetting(**{**given, **changes})


def said(**changes):
    other = setting(color="rgb", score=0.5, differs=("color",),
                    behind=Interval(low=0.125, high=0.375))  # fmt: skip
    given = {
        "criterion": "map", "images": 16, "settings": (setting(), other), "best": setting(),
        "margin": 0.25, "undecided": {"resize": ("letterbox", "letterbox-topleft")},
        "assumed_agrees": True, "spec_lines": "input: {color: bgr}\n",
    }  # fmt: skip
    out = io.StringIO()
    for part in render_probe(ProbeResult(**{**given, **changes})):
        Console(file=out, width=140).print(part)
    return " ".join(out.getvalue().split())


def test_settings_the_best_and_what_is_open():
    text = said()

    for part in (
        "preprocessing, tried on 16 images",
        "0..255 bgr stretch (best) 0.750",
        "0..255 rgb stretch color 0.500 0.125 to 0.375",
        "score: mAP50-95 against the labels",
        "best: 0..255, bgr, stretch, which is what was assumed",
        "resize: these images can't tell it from letterbox or letterbox-topleft",
        "as a file for --spec: input: {color: bgr}",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("agrees", "words"), [(False, "which is not what was assumed"), (None, "nothing shows it")]
)
def test_whether_it_is_what_was_assumed(agrees, words):
    text = said(assumed_agrees=agrees, criterion="mirror", notes=("3 images are few",))

    assert words in text
    assert "found again in the mirrored images" in text
    assert "note: 3 images are few" in text
