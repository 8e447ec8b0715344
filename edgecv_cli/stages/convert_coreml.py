"""convert-coreml: from ONNX to a Core ML package, read back (on macOS: run) before it is saved."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgecv_cli.artifact.sidecar import sidecar_path, sidecar_text
from edgecv_cli.config.convert_coreml import ConvertCoremlConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import GateNotMetError
from edgecv_cli.core.files import Publication, sha256_file
from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.core.scratch import scratch
from edgecv_cli.graph.coreml_package import (
    package_digest,
    package_files,
    read_package,
    require_package_place,
)
from edgecv_cli.report.blocks import Block
from edgecv_cli.stages.compose.convert import conversion_document
from edgecv_cli.stages.compose.pictures import Pictured, pair_blocks
from edgecv_cli.stages.compose.publishing import reporting
from edgecv_cli.stages.convert_coreml_job import Made, Source, gates_of, make, pair_of
from edgecv_cli.stages.convert_coreml_package import (
    nms_held,
    package_facts,
    stopped,
    weights_held,
)
from edgecv_cli.stages.convert_coreml_result import ConvertCoremlResult
from edgecv_cli.stages.converting.figures import figures, how_made, remarks
from edgecv_cli.stages.converting.gates import Outcome, advice, outcomes
from edgecv_cli.stages.converting.result import SavedFile
from edgecv_cli.stages.converting.verify import Pair, Seen, verify
from edgecv_cli.stages.quantize_result import HowMade, Side


def convert_coreml(config: ConvertCoremlConfig, context: Context) -> ConvertCoremlResult:
    """Convert a detector, read the package back, and save it only if it is the same detector.

    Raises:
        GateNotMetError: a gate was not met, or Core ML has no operator for a node; it carries the
            whole result.
        UsageError: options contradict each other or the model, or the output stands already.
        ModelError: the model can't be converted, or the package can't be read back.
        MissingDependencyError: a converter is not installed.
        ChildFailureError: a converter failed.
    """
    inputs = [config.model]
    require_package_place(config.output)
    with (
        reporting(config.report, force=config.force, inputs=[*inputs, config.output]) as draft,
        Publication(config.output, force=config.force, inputs=inputs, whole=True) as output,
        scratch() as folder,
    ):
        # Asked for before the work: a name that is taken must not be found out after it.
        sidecar = output.part(sidecar_path(config.output).name)
        _check_rejected(config)
        source = Source.read(config, context)
        made = make(config, source, folder, context)
        if made.stops:
            result = _unmade(config, source, made)
            draft.write(conversion_document(result))
            raise _unsupported(result)
        result, refused, pictures = _judged(config, source, made, context, draw=draft.wanted)
        if refused:
            result = _rejected(config, made, result)
            draft.write(conversion_document(result, pictures))
            said = "; ".join(f"{name} {result.gates[name]}" for name in refused)
            raise GateNotMetError(
                f"the converted model is not saved: {said}", remedy=_advice(refused), result=result
            )
        shutil.copytree(made.path, output.main)
        saved = _saved(config, result, output.main)
        sidecar.write_text(sidecar_text(saved.sha256 or "", saved.to_json()), encoding="utf-8")
        draft.write(conversion_document(saved, pictures))
        output.commit()
        return saved


def _judged(
    config: ConvertCoremlConfig, source: Source, made: Made, context: Context, *, draw: bool
) -> tuple[ConvertCoremlResult, tuple[str, ...], list[Block]]:
    """Return the result, the gates that refuse it, and pictures for the report."""
    pair = pair_of(config, source, made)
    facts = package_facts(config, source, made)
    seen = verify(pair, context)
    held = [*outcomes(gates_of(config, pair), seen), weights_held(facts)]
    held += [one for one in [nms_held(source, made)] if one is not None]
    warnings = (*source.warnings, *seen.warnings, *(one.warning for one in held if one.warning))
    result = ConvertCoremlResult(
        **_common(config, held),
        **figures(pair, seen),
        engine=pair.engine,
        warnings=warnings,
        notes=(*source.notes, *remarks(pair, seen)),
        how=_how(config, pair, seen),
        provenance=made.lineage,
        package=facts,
    )
    refused = tuple(one.name for one in held if not one.met)
    return result, refused, _pictures(source, pair, seen) if draw else []


def _how(config: ConvertCoremlConfig, pair: Pair, seen: Seen) -> HowMade:
    how = how_made(pair, seen, images="--images", seed=config.seed)
    if seen.verified == "ran":
        return how
    return how.model_copy(update={"engine": "converted and read back, not run"})


def _common(config: ConvertCoremlConfig, held: Sequence[Outcome]) -> dict[str, Any]:
    from edgecv_cli.measure.hardware import machine

    return {
        "machine": machine(config.threads),
        "model": str(config.model),
        "precision": config.precision,
        "bits": config.palette_bits if config.compression == "palettize" else None,
        "gates": {one.name: one.text for one in held},
        "report": None if config.report is None else str(config.report),
    }


def _unmade(config: ConvertCoremlConfig, source: Source, made: Made) -> ConvertCoremlResult:
    stops = stopped(made.stops)
    names = ", ".join(f"{one.operator} (node '{one.nodes[0]}')" for one in stops if one.nodes)
    gate = Outcome("operators", met=False, text=f"Core ML has one for every node: not for {names}")
    return ConvertCoremlResult(
        **_common(config, [gate]),
        family=source.spec.family,
        baseline=Side(size_bytes=source.given.size_bytes),
        engine=config.engine,
        warnings=source.warnings,
        notes=source.notes,
        how=HowMade(
            engine="converted only", threads=config.threads or usable_cores(), seed=config.seed
        ),
        unsupported=stops,
    )


def _unsupported(result: ConvertCoremlResult) -> GateNotMetError:
    first = result.unsupported[0]
    return GateNotMetError(
        f"the model can't be converted: operators {result.gates['operators']}",
        remedy=first.remedy,
        result=result,
    )


def _advice(refused: Sequence[str]) -> str:
    if "require" in refused:
        return "convert on macOS, or accept less with --require structure"
    if "weights" in refused:
        return "convert with --precision fp16, or keep the .onnx; --keep-rejected keeps the package"
    return advice(refused).replace("PATH.xml", "PATH.mlpackage")


def _saved(
    config: ConvertCoremlConfig, result: ConvertCoremlResult, package: Path
) -> ConvertCoremlResult:
    """Return the result that says what is about to be published."""
    files = []
    weights = read_package(package).weights
    if weights is not None:
        place = config.output / weights.relative_to(package)
        size = weights.stat().st_size
        files.append(
            SavedFile(part="weights", path=str(place), size_bytes=size, sha256=sha256_file(weights))
        )
    digest = package_digest(package)
    size = sum(file.stat().st_size for file in package_files(package))
    files.append(SavedFile(part="model", path=str(config.output), size_bytes=size, sha256=digest))
    return result.model_copy(
        update={"files": tuple(files), "saved": str(config.output), "sha256": digest}
    )


def _rejected(
    config: ConvertCoremlConfig, made: Made, result: ConvertCoremlResult
) -> ConvertCoremlResult:
    keep = config.keep_rejected
    if keep is None:
        return result
    with Publication(keep, force=config.force, whole=True) as publication:
        shutil.copytree(made.path, publication.main)
        publication.commit()
    return result.model_copy(update={"rejected": str(keep)})


def _check_rejected(config: ConvertCoremlConfig) -> None:
    keep = config.keep_rejected
    if keep is not None:
        require_package_place(keep)
        inputs = [config.model, config.output]
        with Publication(keep, force=config.force, inputs=inputs, whole=True) as place:
            _ = place.main


def _pictures(source: Source, pair: Pair, seen: Seen) -> list[Block]:
    if seen.plain is None:
        return []
    return pair_blocks(
        pair.looked_at,
        Pictured("original", seen.plain.before),
        Pictured("converted", seen.plain.after),
        source.spec.classes,
        source.spec.score_threshold,
    )
