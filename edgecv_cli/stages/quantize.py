"""quantize: calibrate, search, apply, judge, and save only what passes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.sidecar import sidecar_path, sidecar_text
from edgecv_cli.compress.quantization.plan import QuantizePlan
from edgecv_cli.config.quantize import QuantizeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import GateNotMetError
from edgecv_cli.core.files import Publication, sha256_file
from edgecv_cli.core.scratch import scratch
from edgecv_cli.stages.compose.publishing import reporting
from edgecv_cli.stages.compose.quantize import quantize_document
from edgecv_cli.stages.quantize_inputs import Inputs
from edgecv_cli.stages.quantize_job import Job, Judged
from edgecv_cli.stages.quantize_refusal import advice, unmet
from edgecv_cli.stages.quantize_result import QuantizeResult


def quantize(config: QuantizeConfig, context: Context) -> QuantizeResult:
    """Quantize a detector and save it only if it is as good as asked.

    Raises:
        GateNotMetError: no candidate met the gates; it carries the whole result.
        UsageError: options contradict each other, or the output stands already.
        ModelError, DataError, EngineError: an input can't be used.
    """
    saved_as = config.saved_as
    with (
        reporting(config.report, force=config.force, inputs=[config.model, saved_as]) as draft,
        Publication(saved_as, force=config.force, inputs=[config.model]) as output,
        scratch() as folder,
    ):
        # Asked for before the work: a name that is taken must not be found out after it.
        places = output.main, output.part(sidecar_path(saved_as).name)
        job = Job(config, Inputs.read(config, folder, context), folder, context)
        judged = job.decide()
        result = job.report(judged)
        if not judged[-1].verdict.refused:
            plan = judged[-1].candidate.plan
            saved = _write(config, places, judged[-1].path, result, plan)
            pictures = job.pictures(judged[-1]) if draft.wanted else []
        elif config.precision == "auto":
            saved = _write(config, places, *job.keep_float(judged, result), None)
            pictures = []
        else:
            refusal = _refusal(config, judged, result)
            if draft.wanted and isinstance(refusal.result, QuantizeResult):
                draft.write(quantize_document(refusal.result, job.pictures(judged[-1])))
            raise refusal
        draft.write(quantize_document(saved, pictures))
        output.commit()
        return saved


def _write(
    config: QuantizeConfig,
    places: tuple[Path, Path],
    path: Path,
    result: QuantizeResult,
    plan: QuantizePlan | None,
) -> QuantizeResult:
    """Write the judged file, its sidecar and its plan; returns the result that says so."""
    main, sidecar = places
    shutil.copyfile(path, main)
    digest = sha256_file(main)
    planned = config.save_plan if plan is not None else None
    saved = result.model_copy(
        update={
            "saved": str(config.output),
            "sha256": digest,
            "provenance": Artifact.open(path).lineage,
            "plan": None if planned is None else str(planned),
        }
    )
    sidecar.write_text(sidecar_text(digest, saved.to_json()), encoding="utf-8")
    if planned is not None and plan is not None:
        with Publication(planned, force=config.force) as publication:
            publication.main.write_text(plan.dumps(), encoding="utf-8")
            publication.commit()
    return saved


def _refusal(
    config: QuantizeConfig, judged: Sequence[Judged], result: QuantizeResult
) -> GateNotMetError:
    best = judged[-1]
    keep = config.keep_rejected
    if keep is not None:
        with Publication(keep, force=config.force) as publication:
            shutil.copyfile(best.path, publication.main)
            publication.commit()
        result = result.model_copy(update={"rejected": str(keep)})
    return GateNotMetError(
        f"none of {len(judged)} candidates judged meets the gates; the best: {unmet(best.verdict)}",
        remedy=advice(best.verdict.refused),
        result=result,
    )
