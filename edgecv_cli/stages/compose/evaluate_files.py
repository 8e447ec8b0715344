"""The files that an evaluation writes of itself: HTML, Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgecv_cli.report.blocks import Block
from edgecv_cli.stages.compose.evaluate import evaluate_document
from edgecv_cli.stages.compose.result_files import Drafts, result_files, write_document

if TYPE_CHECKING:
    from edgecv_cli.config.evaluate import EvaluateConfig
    from edgecv_cli.stages.evaluate_result import EvaluateResult

_COLUMNS = ("class", "objects", "map", "map50", "map75", "detections", "right", "missed")


class EvaluateFiles:
    """Places that are taken before the work, and filled after it."""

    def __init__(self, drafts: Drafts) -> None:
        self._drafts = drafts

    @property
    def pictured(self) -> bool:
        """Whether a file is wanted that shows pictures."""
        return self._drafts["report"].wanted

    def write(self, result: EvaluateResult, pictures: Sequence[Block] = ()) -> None:
        """Write what was asked for."""
        write_document(self._drafts, lambda: evaluate_document(result, pictures))
        self._drafts["csv"].write_text(evaluate_csv(result))


@contextmanager
def evaluate_files(config: EvaluateConfig) -> Iterator[EvaluateFiles]:
    """Take the places of all files; they appear when the block is left, also if a gate refuses.

    Raises:
        EdgeCVError: as :func:`result_files`.
    """
    places = {"report": config.report, "md": config.md, "csv": config.csv}
    read = (config.against, config.spec, config.against_spec)
    inputs = [config.model, config.data, *filter(None, read)]
    with result_files(places, force=config.force, inputs=inputs) as drafts:
        yield EvaluateFiles(drafts)


def evaluate_csv(result: EvaluateResult) -> str:
    """Return the figures of each class as CSV, all classes first; not measured is empty.

    With another detector, its mAP and the difference stand beside them.
    """
    against = result.against
    extra = () if against is None else ("map_against", "points")
    text = io.StringIO()
    writer = csv.DictWriter(text, [*_COLUMNS, *extra], lineterminator="\n", restval="")
    writer.writeheader()
    whole = {
        "class": "",
        "objects": sum(result.objects.values()),
        "map": result.map,
        "map50": result.map50,
        "map75": result.map75,
    }
    if against is not None:
        whole |= {"map_against": against.map, "points": against.difference.points}
    writer.writerow(whole | _counted(result, None))
    for name, value in sorted(result.per_class.items()):
        row = {
            "class": name,
            "objects": result.objects.get(name),
            "map": value,
            "map50": (result.per_class50 or {}).get(name),
            "map75": (result.per_class75 or {}).get(name),
        }
        if against is not None:
            other = against.per_class[name]
            row |= {"map_against": other, "points": 100 * (value - other)}
        writer.writerow(row | _counted(result, name))
    return text.getvalue()


def _counted(result: EvaluateResult, name: str | None) -> dict[str, int]:
    """Return what was found at the detection threshold, of one class or (None) of all."""
    if result.confusion is None:
        return {}
    counts: Counter[str] = Counter(detections=0, right=0, missed=0)
    for cell in result.confusion:
        itself = cell.truth is not None and cell.truth == cell.found
        if cell.found is not None and name in (None, cell.found):
            counts["detections"] += cell.count
            counts["right"] += cell.count * itself
        if cell.truth is not None and name in (None, cell.truth):
            counts["missed"] += cell.count * (not itself)
    return dict(counts)
