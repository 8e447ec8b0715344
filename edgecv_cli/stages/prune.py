"""prune: whole channels leave a detector, which is saved only if it is still good enough."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.sidecar import sidecar_path, sidecar_text
from edgecv_cli.compress.pruning.flow import Flow
from edgecv_cli.config.prune import PruneConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import GateNotMetError, ModelError
from edgecv_cli.core.files import Publication, sha256_file
from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.core.result import Interval
from edgecv_cli.core.scratch import scratch
from edgecv_cli.graph.io import serialize
from edgecv_cli.measure.fitness import warnings_of
from edgecv_cli.measure.hardware import machine
from edgecv_cli.media.dataset import open_dataset
from edgecv_cli.media.images import open_images
from edgecv_cli.stages.converting.gates import Gates, Outcome, outcomes
from edgecv_cli.stages.converting.sides import side_of
from edgecv_cli.stages.converting.verify import Pair, Seen, verify
from edgecv_cli.stages.prune_finetune import training_path
from edgecv_cli.stages.prune_job import Given, PruneJob, Smaller, flow_of
from edgecv_cli.stages.prune_result import FitRow, GroupRow, PruneResult, TuneRow, group_rows
from edgecv_cli.stages.quantize_result import HowMade

_ADVICE = (
    "keep more (--target-flops), widen the gate, or save time elsewhere: int8 (edgecv quantize) "
    "and a smaller input (edgecv reshape) cost less accuracy; --keep-rejected PATH.onnx keeps it"
)

_KEPT = "; its training is kept beside the output, and --resume judges it anew by other gates"


def prune(config: PruneConfig, context: Context) -> PruneResult:
    """Take channels out of a detector, fit what stays, and save it if it passes the gates.

    Raises:
        GateNotMetError: a gate was not met; it carries the whole result, and nothing is saved.
        UsageError: the budget can't be met, or the output stands already.
        ModelError: the model is quantized, or holds nothing that could leave.
        DataError: images can't be read.
    """
    if config.show_groups:
        given = _read(config, context)
        return _shown(config, given)
    assert config.output is not None
    inputs = [config.model]
    with (
        Publication(config.output, force=config.force, inputs=inputs) as output,
        scratch() as folder,
    ):
        place, sidecar = output.main, output.part(sidecar_path(config.output).name)
        _check_rejected(config)
        given = _read(config, context)
        smaller = PruneJob(given, config, folder, context).run()
        path = folder / "pruned.onnx"
        path.write_bytes(serialize(smaller.model))
        result, refused = _judged(config, given, smaller, path, context)
        if refused:
            said = "; ".join(f"{name} {result.gates[name]}" for name in refused)
            raise GateNotMetError(
                f"the pruned model is not saved: {said}",
                remedy=_ADVICE if smaller.tuned is None else _ADVICE + _KEPT,
                result=_rejected(config, result, path),
            )
        shutil.copyfile(path, place)
        update = {"saved": str(config.output), "sha256": sha256_file(place)}
        saved = result.model_copy(update=update)
        sidecar.write_text(sidecar_text(update["sha256"], saved.to_json()), encoding="utf-8")
        output.commit()
        if smaller.tuned is not None:
            training_path(config.output).unlink(missing_ok=True)
        return saved


def _read(config: PruneConfig, context: Context) -> Given:
    artifact = Artifact.open(config.model)
    recognised = artifact.detector(config.spec, input_size=config.input_size)
    data = None if config.data is None else open_dataset(config.data, limit=config.limit)
    images = None if config.calibration is None else open_images(config.calibration, config.images)
    warnings = warnings_of(artifact, recognised)
    for text in warnings:
        context.progress.note(f"warning: {text}")
    flow = flow_of(artifact, config.input_size)
    if not flow.groups:
        raise ModelError(
            f"'{config.model}' has no channel that could leave",
            remedy="run it with --verbose, or `edgecv inspect`, to see its layers",
        )
    return Given(artifact, recognised.spec, flow, images, data, tuple(warnings))


def _shown(config: PruneConfig, given: Given) -> PruneResult:
    return PruneResult(
        model=str(config.model),
        family=given.spec.family,
        macs=given.flow.macs(()),
        groups=group_rows(given.flow),
        kept=dict(given.flow.kept_because),
        warnings=given.warnings,
    )


def _judged(
    config: PruneConfig, given: Given, smaller: Smaller, path: Path, context: Context
) -> tuple[PruneResult, tuple[str, ...]]:
    """Return what was measured, and the names of the gates that were not met."""
    converted = Artifact.open(path)
    pair = Pair(
        original=given.artifact,
        source=given.artifact,
        converted=converted,
        spec=given.spec,
        stored=given.spec,
        engine="onnxruntime",
        exact=False,
        images=given.images.paths if given.images is not None and given.data is None else (),
        data=given.data,
        threads=config.threads,
        speed_seconds=config.speed_seconds,
    )
    seen = verify(pair, context)
    gates = Gates("ran", config.agreement_gate, None, config.drop_gate, config.speed_gate)
    made = outcomes(gates, seen)
    result = _result(config, given, smaller, converted, seen, made=made)
    return result, tuple(one.name for one in made if not one.met)


def _result(
    config: PruneConfig,
    given: Given,
    smaller: Smaller,
    converted: Artifact,
    seen: Seen,
    *,
    made: Sequence[Outcome],
) -> PruneResult:
    runs = seen.speed.runs if seen.speed else (None, None)
    ratio = seen.speed.ratios[0] if seen.speed and seen.speed.ratios else None
    before, after = given.artifact.size_bytes, converted.size_bytes
    parameters = [one.facts(config.input_size).parameters for one in (given.artifact, converted)]
    shown = _shown(config, given)
    return shown.model_copy(
        update={
            "machine": machine(config.threads),
            "groups": _cut_rows(given.flow, shown.groups, smaller),
            "flops_ratio": smaller.share,
            "parameters_ratio": parameters[1] / parameters[0],
            "baseline": side_of(seen.before, runs[0], before),
            "optimized": side_of(seen.after, runs[1], after),
            "drop": seen.drop.drop if seen.drop else None,
            "drop_interval": seen.drop.points if seen.drop else None,
            "agreement": seen.agreement.agreement if seen.agreement else None,
            "speedup": ratio.ratio if ratio else None,
            "speedup_interval": None
            if ratio is None
            else Interval(
                low=ratio.low, high=ratio.high, method="bootstrap over launches and rounds"
            ),
            "size_ratio": before / after,
            "fits": tuple(FitRow(**vars(one)) for one in smaller.fits),
            "finetune": _tuned_row(smaller),
            "seconds": smaller.seconds,
            "gates": {one.name: one.text for one in made},
            "warnings": (
                *given.warnings,
                *seen.warnings,
                *((smaller.tuned.warning,) if smaller.tuned and smaller.tuned.warning else ()),
                *(one.warning for one in made if one.warning),
            ),
            "how": _how(config, given, seen),
            "provenance": smaller.lineage,
        }
    )


def _tuned_row(smaller: Smaller) -> TuneRow | None:
    made = smaller.tuned
    if made is None:
        return None
    return TuneRow(
        before=made.before,
        after=made.after,
        steps=made.steps,
        best=made.best,
        ended=made.ended,
        retreats=made.retreats,
    )


def _cut_rows(flow: Flow, rows: Sequence[GroupRow], smaller: Smaller) -> tuple[GroupRow, ...]:
    return tuple(
        row.model_copy(
            update={
                "removed": sum(int(unit) in smaller.removed for unit in group.units),
                "damage": smaller.damage.get(group.producers),
            }
        )
        for row, group in zip(rows, flow.groups, strict=True)
    )


def _how(config: PruneConfig, given: Given, seen: Seen) -> HowMade:
    agreed = seen.agreement
    return HowMade(
        engine="onnxruntime",
        threads=config.threads or usable_cores(),
        evaluation_images=seen.before.images if seen.before else None,
        agreement_images=agreed.images if agreed else None,
        agreement_source=None if agreed is None else "--data" if given.data else "--calibration",
        speed_rounds=seen.speed.rounds if seen.speed else None,
        speed_source="each in a child process, rounds interleaved" if seen.speed else None,
        seed=config.seed,
    )


def _check_rejected(config: PruneConfig) -> None:
    if config.keep_rejected is not None:
        inputs = [config.model, *([config.output] if config.output else [])]
        with Publication(config.keep_rejected, force=config.force, inputs=inputs) as place:
            _ = place.main


def _rejected(config: PruneConfig, result: PruneResult, path: Path) -> PruneResult:
    if config.keep_rejected is None:
        return result
    with Publication(config.keep_rejected, force=config.force) as publication:
        shutil.copyfile(path, publication.main)
        publication.commit()
    return result.model_copy(update={"rejected": str(config.keep_rejected)})
