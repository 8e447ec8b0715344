"""The spec files in ``configs/specs`` say what the families' own defaults say."""

from pathlib import Path

import pytest

from edgecv_cli.core.resources import resource
from edgecv_cli.detector.heads import HEADS
from edgecv_cli.detector.overrides import apply_overrides, load_spec_overrides

FILES = sorted(resource("configs", "specs").glob("*.yaml"))


def test_every_family_has_one():
    # yolov7 is another set of anchors of family yolov5
    families = {head.family for head in HEADS}
    assert {path.stem for path in FILES} - {"yolov7"} == families


@pytest.mark.parametrize("path", FILES, ids=lambda path: Path(path).stem)
def test_it_is_read_and_agrees_with_the_family(path):
    override = load_spec_overrides(path)
    (defaults,) = (head.defaults for head in HEADS if head.family == override["family"])
    plain = defaults.replace(classes=tuple(map(str, range(len(override["classes"])))))
    spec = apply_overrides(plain, override)
    assert spec.input == defaults.input
    assert spec.classes == tuple(override["classes"])
    family = {"yolov7": "yolov5"}.get(path.stem, path.stem)
    count = {"ssd": 91, "retina": 1, "yunet": 1}.get(path.stem, 80)
    assert (spec.family, len(spec.classes)) == (family, count)
