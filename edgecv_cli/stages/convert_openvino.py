"""convert-openvino: from ONNX to OpenVINO's IR, run and compared before it is saved."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

from edgecv_cli.artifact.artifact import weights_beside
from edgecv_cli.artifact.sidecar import sidecar_path, sidecar_text
from edgecv_cli.config.convert_openvino import ConvertOpenVinoConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import GateNotMetError
from edgecv_cli.core.files import Publication, sha256_file
from edgecv_cli.core.scratch import scratch
from edgecv_cli.report.blocks import Block
from edgecv_cli.stages.compose.convert import conversion_document
from edgecv_cli.stages.compose.pictures import Pictured, pair_blocks
from edgecv_cli.stages.compose.publishing import reporting
from edgecv_cli.stages.convert_openvino_int8 import best_int8
from edgecv_cli.stages.convert_openvino_job import Judged, Source, judged
from edgecv_cli.stages.converting.gates import advice
from edgecv_cli.stages.converting.result import ConvertOpenVinoResult, SavedFile


def convert_openvino(config: ConvertOpenVinoConfig, context: Context) -> ConvertOpenVinoResult:
    """Convert a detector, run the result, and save it only if it is the same detector.

    Raises:
        GateNotMetError: a gate was not met; it carries the whole result.
        UsageError: options contradict each other or the model, or the output stands already.
        ModelError: OpenVINO can't convert the model.
        MissingDependencyError: OpenVINO is not installed.
    """
    inputs = [config.model]
    with (
        reporting(config.report, force=config.force, inputs=[*inputs, config.output]) as draft,
        Publication(config.output, force=config.force, inputs=inputs) as output,
        scratch() as folder,
    ):
        # Asked for before the work: a name that is taken must not be found out after it.
        places = [output.main, *(output.part(name) for name in _beside(config.output))]
        _check_rejected(config)
        source = Source.read(config, folder, context)
        if config.calibration is None:
            made = judged(config, source, folder, context)
        else:
            made = best_int8(config, source, folder, context)
        pictures = _pictures(source, made) if draft.wanted else []
        if made.refused:
            result = _rejected(config, made)
            draft.write(conversion_document(result, pictures))
            said = "; ".join(f"{name} {made.result.gates[name]}" for name in made.refused)
            raise GateNotMetError(
                f"the converted model is not saved: {said}",
                remedy=advice(made.refused),
                result=result,
            )
        saved = _write(made, config.output, places)
        draft.write(conversion_document(saved, pictures))
        output.commit()
        return saved


def _beside(xml: Path) -> tuple[str, str]:
    """Return the names of the weights and of the sidecar."""
    weights = weights_beside(xml)
    assert weights is not None
    return weights.name, sidecar_path(xml).name


def _write(made: Judged, target: Path, places: list[Path]) -> ConvertOpenVinoResult:
    """Write the judged files and the sidecar; returns the result that says so."""
    xml, weights, sidecar = places
    files = []
    parts: tuple[tuple[Literal["weights", "model"], Path, Path], ...] = (
        ("weights", made.path.with_suffix(".bin"), weights),
        ("model", made.path, xml),
    )
    for part, source, place in parts:
        shutil.copyfile(source, place)
        files.append(
            SavedFile(
                part=part,
                path=str(target.with_name(place.name)),
                size_bytes=place.stat().st_size,
                sha256=sha256_file(place),
            )
        )
    result = made.result.model_copy(
        update={"files": tuple(files), "saved": str(target), "sha256": files[-1].sha256}
    )
    sidecar.write_text(sidecar_text(files[-1].sha256, result.to_json()), encoding="utf-8")
    return result


def _rejected(config: ConvertOpenVinoConfig, made: Judged) -> ConvertOpenVinoResult:
    keep = config.keep_rejected
    if keep is None:
        return made.result
    with Publication(keep, force=config.force) as publication:
        shutil.copyfile(made.path.with_suffix(".bin"), publication.part(_beside(keep)[0]))
        shutil.copyfile(made.path, publication.main)
        publication.commit()
    return made.result.model_copy(update={"rejected": str(keep)})


def _check_rejected(config: ConvertOpenVinoConfig) -> None:
    keep = config.keep_rejected
    if keep is not None:
        inputs = [config.model, config.output]
        with Publication(keep, force=config.force, inputs=inputs) as place:
            _ = place.main, place.part(_beside(keep)[0])


def _pictures(source: Source, made: Judged) -> list[Block]:
    sides = made.seen.plain
    if sides is None:
        return []
    return pair_blocks(
        made.looked_at,
        Pictured("original", sides.before),
        Pictured("converted", sides.after),
        source.spec.classes,
        source.spec.score_threshold,
    )
