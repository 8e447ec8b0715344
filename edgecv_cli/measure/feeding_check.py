"""Is a detector fed as it wants to be: a cheap doubt, where ``inspect --probe`` finds the answer.

Values that are wrong by 255 leave a network blind or saturated; then what it finds is not found
again in the mirror image, while under the right values it is. The wrong colour order costs a few
per cent of score on the best detections, seen only over many images: those in doubt are looked
at further, the others cost two runs of six images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import DataError
from edgecv_cli.detector.profiles import Profile
from edgecv_cli.detector.spec import DetectorSpec, InputSpec
from edgecv_cli.inference.predictor import Predictor
from edgecv_cli.measure.image_sets import spread_out
from edgecv_cli.measure.mirror import found_again, mirrored
from edgecv_cli.measure.preprocessing_choices import Key, choices, scale_words
from edgecv_cli.media.images import Image, read_image
from edgecv_cli.runtime.base import Runner

_BATCHES = (6, 16, 32)  # images after which a colour order that looks right is left alone
_FEW = 4  # images that tell values wrong by 255
_SEEING = (0.6, 0.95)  # mean best score of the six detectors tried: 0.69 to 0.83
_SURE = 0.25
_BEST = 5
_WORSE = 0.7  # of what another setting finds again
_UNLIKELY = -2.0  # t of the paired difference


@dataclass(frozen=True)
class Doubt:
    """Something that the network answers to better than to what it is fed.

    Attributes:
        key: what is doubted.
        fed, better: it, and what was tried instead, in words.
        evidence: what was measured, in words.
    """

    key: Key
    fed: str
    better: str
    evidence: str


def check_feeding(
    runner: Runner, spec: DetectorSpec, paths: Sequence[Path], context: Context
) -> tuple[Doubt, ...]:
    """Compare what a detector finds as it is fed with what it finds fed otherwise.

    Args:
        runner: the model, loaded.
        spec: the detector.
        paths: images; 6 to 32 of them are run.
        context: progress and cancellation.

    Raises:
        EdgeCVError: the model can't be run.
    """
    check = _Check(runner, spec, list(spread_out(paths, _BATCHES[-1])), context)
    with context.progress.task("check feeding", None, "image"):
        doubt = check.scale()
        return (doubt,) if doubt is not None else tuple(filter(None, [check.colour()]))


class _Check:
    """Pictures come in the same order to both questions: what was run for one serves the other."""

    def __init__(
        self, runner: Runner, spec: DetectorSpec, paths: Sequence[Path], context: Context
    ) -> None:
        self._runner = runner
        self._spec = spec
        self._paths = paths
        self._context = context
        self._fed: list[float] = []  # sums of the best scores, as it is fed

    def scale(self) -> Doubt | None:
        """Try values 255 times as large and as small, if what is found looks strange."""
        current = self._spec.input
        if current.dtype == "uint8":  # its scaling is inside the graph
            return None
        pictures = self._pictures(0, _FEW)
        found = [self._best_scores(current, picture) for picture in pictures]
        self._fed = [float(scores.sum()) for scores in found]
        best = [float(scores.max(initial=0)) for scores in found]
        if not pictures or _SEEING[0] <= np.mean(best) <= _SEEING[1]:
            return None
        tried = [
            current.model_copy(update={"scale": current.scale * factor})
            for factor in (1 / 255, 255.0)
        ]
        fed, *others = (self._again(setting, pictures) for setting in (current, *tried))
        place = int(np.argmax([other.mean() for other in others]))
        lead = others[place] - fed
        if (lead > 0).all() and fed.mean() < _WORSE * others[place].mean():
            evidence = (
                f"found again in the mirror image: {fed.mean():.2f} against "
                f"{others[place].mean():.2f}, {len(pictures)} images"
            )
            return Doubt("scale", scale_words(current), scale_words(tried[place]), evidence)
        return None

    def colour(self) -> Doubt | None:
        """Try the other colour order on ever more images, as long as it looks better."""
        current = self._spec.input
        (other,) = choices(current, "color")
        lead: list[float] = []
        for start, stop in zip((0, *_BATCHES), _BATCHES, strict=False):
            for picture in self._pictures(start, stop):
                if len(lead) == len(self._fed):
                    self._fed.append(float(self._best_scores(current, picture).sum()))
                swapped = float(self._best_scores(other.input, picture).sum())
                lead.append(self._fed[len(lead)] - swapped)
            if len(lead) < 2 or np.mean(lead) >= 0:
                return None
        if _t(np.asarray(lead)) > _UNLIKELY:
            return None
        evidence = (
            f"the best {_BEST} scores of an image sum to {-np.mean(lead):.2f} more with it, "
            f"{len(lead)} images"
        )
        return Doubt("color", current.color, other.name, evidence)

    def _pictures(self, start: int, stop: int) -> list[Image]:
        pictures = []
        for path in self._paths[start:stop]:
            self._context.cancel.check()
            try:
                pictures.append(read_image(path))
            except DataError:
                continue
        return pictures

    def _best_scores(self, setting: InputSpec, picture: Image) -> NDArray[np.float32]:
        return self._predictor(setting, 0.05, _BEST).predict(picture).scores

    def _again(self, setting: InputSpec, pictures: Sequence[Image]) -> NDArray[np.float64]:
        predictor = self._predictor(setting, _SURE, 100)
        return np.array([
            found_again(predictor.predict(p), predictor.predict(mirrored(p)), p.shape[1])
            for p in pictures
        ])  # fmt: skip

    def _predictor(self, setting: InputSpec, threshold: float, most: int) -> Predictor:
        profile = Profile(threshold, self._spec.nms_iou, 3000, most, multi_label=False)
        return Predictor(self._runner, self._spec.replace(input=setting), profile)


def _t(values: NDArray[np.float64]) -> float:
    """Return Student's t of a mean against 0; 0 where nothing varies."""
    deviation = float(values.std(ddof=1))
    return float(values.mean()) / deviation * len(values) ** 0.5 if deviation > 0 else 0.0
