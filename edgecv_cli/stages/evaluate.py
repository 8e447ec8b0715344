"""How accurate a detector is on labelled images, and whether another differs from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import GateNotMetError
from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.detector.profiles import Profile
from edgecv_cli.measure.accuracy_difference import (
    accuracy_difference,
    single_words,
)
from edgecv_cli.measure.accuracy_gates import judge_accuracy, require_sizes
from edgecv_cli.measure.confusion import confusions
from edgecv_cli.measure.detailed_accuracy import DetailedAccuracy
from edgecv_cli.measure.detection_quality import operating_point
from edgecv_cli.measure.hardware import machine
from edgecv_cli.measure.latency_gates import GateOutcome
from edgecv_cli.media.dataset import open_dataset
from edgecv_cli.stages.compose.evaluate_files import evaluate_files
from edgecv_cli.stages.compose.labels import labels_of
from edgecv_cli.stages.compose.pictures import LOOKED_AT, Pictured, evenly, pair_blocks
from edgecv_cli.stages.evaluate_result import Against, EvaluateResult, ProfileUsed
from edgecv_cli.stages.evaluating import (
    Measured,
    Opened,
    measure_side,
    open_side,
    scoring_profile,
)

if TYPE_CHECKING:
    from edgecv_cli.config.evaluate import EvaluateConfig
    from edgecv_cli.media.dataset import Dataset
    from edgecv_cli.report.blocks import Block


def evaluate(config: EvaluateConfig, context: Context) -> EvaluateResult:
    """Run a detector on labelled images and state its mAP; another as well, if one is named.

    Raises:
        GateNotMetError: a condition of ``--fail-if`` holds; with the whole result.
        EdgeCVError: a model, the data or the engine can't be used, or a file can't be written.
    """
    with evaluate_files(config) as files:
        began = context.clock()
        dataset = open_dataset(config.data, limit=config.limit)
        for note in dataset.notes:
            context.progress.note(note)
        require_sizes(config.fail_if, dataset)
        side = open_side(config.model, config.spec, dataset, config, context)
        other = None
        if config.against is not None:
            other = open_side(config.against, config.against_spec, dataset, config, context)
        found = measure_side(side, dataset, config, context)
        against = None if other is None else _against(found, other, dataset, config, context)
        result = _result(side, found, against, dataset, config)
        result = result.model_copy(update={"seconds": (context.clock() - began) / 1e9})
        pictures = _pictures(side, found, dataset) if files.pictured else []
        files.write(result, pictures)
        _refuse_failed(result)
    return result


def _refuse_failed(result: EvaluateResult) -> None:
    failed = [one for one in result.gates or () if not one.met]
    if failed:
        raise GateNotMetError(
            failed[0].text + (f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""),
            remedy="improve the model, or change what --fail-if allows",
            result=result,
        )


def _against(
    found: Measured, other: Opened, dataset: Dataset, config: EvaluateConfig, context: Context
) -> Against:
    its = measure_side(other, dataset, config, context)
    accuracy = its.accuracy.accuracy
    return Against(
        model=str(config.against),
        sha256=other.artifact.sha256,
        family=other.spec.family,
        map=accuracy.map,
        map50=accuracy.map50,
        map75=accuracy.map75,
        per_class=accuracy.per_class,
        interval=accuracy.interval,
        provider=its.execution.provider,
        difference=accuracy_difference(
            found.accuracy, its.accuracy, _names(config), seed=context.seed
        ),
    )


def _names(config: EvaluateConfig) -> tuple[str, str]:
    """Return what the two are called: the file's name, or the path where names don't tell."""
    paths = [config.model, config.against or config.model]
    if paths[0].name == paths[1].name:
        return str(paths[0]), str(paths[1])
    return paths[0].name, paths[1].name


def _result(
    side: Opened,
    found: Measured,
    against: Against | None,
    dataset: Dataset,
    config: EvaluateConfig,
) -> EvaluateResult:
    accuracy = found.accuracy.accuracy
    return EvaluateResult(
        machine=machine(config.threads),
        model=str(config.model),
        sha256=side.artifact.sha256,
        family=side.spec.family,
        map=accuracy.map,
        map50=accuracy.map50,
        map75=accuracy.map75,
        images=accuracy.images,
        per_class=accuracy.per_class,
        objects=accuracy.objects,
        interval=accuracy.interval,
        telling=single_words(accuracy.interval, accuracy.images),
        **_details(found.accuracy),
        operating_point=operating_point(found.pairs, found.threshold),
        confusion=confusions(found.pairs, found.threshold, dataset.categories),
        against=against,
        gates=_gates(found, config),
        unmapped=accuracy.unmapped,
        profile=_used(scoring_profile(config)),
        engine=config.engine,
        provider=found.execution.provider,
        threads=config.threads or usable_cores(),
        seconds=0.0,
        provenance=side.artifact.lineage,
        report=None if config.report is None else str(config.report),
    )


def _details(found: DetailedAccuracy) -> dict[str, Any]:
    intervals = {name: one for name, one in found.intervals().items() if name != "map"}
    return {
        **{f"map_{name}": size.map for name, size in found.sizes.items()},
        "objects_by_size": {name: size.objects for name, size in found.sizes.items()},
        "ar100": found.ar100,
        "per_class50": found.per_class50,
        "per_class75": found.per_class75,
        "intervals": intervals or None,
        "curves": found.curves,
    }


def _gates(found: Measured, config: EvaluateConfig) -> tuple[GateOutcome, ...] | None:
    if not config.fail_if:
        return None
    return judge_accuracy(
        found.accuracy,
        config.fail_if,
        model=str(config.model),
        engine=config.engine,
        strict=config.strict,
    )


def _pictures(side: Opened, found: Measured, dataset: Dataset) -> list[Block]:
    """Draw labels and detections of some images, at the threshold that detect would use."""
    places = evenly(range(len(dataset.items)), LOOKED_AT)
    items = [dataset.items[place] for place in places]
    labels, names = labels_of(items, dataset, side.spec.classes, background=side.spec.background)
    return pair_blocks(
        [item.path for item in items],
        Pictured("labels", labels, scored=False),
        Pictured("detections", [found.plain[place] for place in places]),
        names,
        found.threshold,
    )


def _used(profile: Profile) -> ProfileUsed:
    return ProfileUsed(
        score_threshold=profile.threshold,
        nms_iou=profile.iou,
        candidates=profile.candidates,
        detections=profile.detections,
        multi_label=profile.multi_label,
    )
