"""convert-tflite: from ONNX to LiteRT, run and compared before it is saved."""

from __future__ import annotations

import shutil
from pathlib import Path

from edgecv_cli.artifact.sidecar import sidecar_path, sidecar_text
from edgecv_cli.config.convert_tflite import ConvertTfliteConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import GateNotMetError
from edgecv_cli.core.files import Publication, sha256_file
from edgecv_cli.core.scratch import scratch
from edgecv_cli.graph.edgetpu import edgetpu_report
from edgecv_cli.graph.litert_bundle import Port
from edgecv_cli.graph.tflite import read_tflite
from edgecv_cli.report.blocks import Block
from edgecv_cli.stages.compose.convert import conversion_document
from edgecv_cli.stages.compose.pictures import Pictured, pair_blocks
from edgecv_cli.stages.compose.publishing import reporting
from edgecv_cli.stages.convert_tflite_coral import compile_for_coral, compiled_name
from edgecv_cli.stages.convert_tflite_job import Made, Source, gates_of, make, pair_of
from edgecv_cli.stages.convert_tflite_result import Compiled, ConvertTfliteResult, Coral, Moved
from edgecv_cli.stages.converting.figures import figures, how_made, remarks
from edgecv_cli.stages.converting.gates import Outcome, advice, outcomes
from edgecv_cli.stages.converting.result import SavedFile
from edgecv_cli.stages.converting.verify import Pair, Seen, verify
from edgecv_cli.stages.rejected import keep, require_place


def convert_tflite(config: ConvertTfliteConfig, context: Context) -> ConvertTfliteResult:
    """Convert a detector, run the result, and save it only if it is the same detector.

    Raises:
        GateNotMetError: a gate was not met; it carries the whole result.
        UsageError: options contradict each other or the model, or the output stands already.
        ModelError: the model can't be converted, or the converter's file is another network.
        MissingDependencyError: the side environment or LiteRT is not installed.
        ChildFailureError: a converter failed.
    """
    inputs = [config.model]
    with (
        reporting(config.report, force=config.force, inputs=[*inputs, config.output]) as draft,
        Publication(config.output, force=config.force, inputs=inputs) as output,
        scratch() as folder,
    ):
        # Asked for before the work: a name that is taken must not be found out after it.
        sidecar = output.part(sidecar_path(config.output).name)
        require_place(
            config.keep_rejected, force=config.force, inputs=[config.model, config.output]
        )
        source = Source.read(config, context)
        made = make(config, source, folder, context)
        pair = pair_of(config, source, made)
        seen = verify(pair, context)
        held = outcomes(gates_of(config, pair), seen)
        coral = _coral(config, made, context)
        result = _result(config, source, made, pair, seen, held=held, coral=coral)
        pictures = _pictures(source, pair, seen) if draft.wanted else []
        refused = tuple(one.name for one in held if not one.met)
        if refused:
            result = _rejected(config, made, result)
            draft.write(conversion_document(result, pictures))
            said = "; ".join(f"{name} {result.gates[name]}" for name in refused)
            raise GateNotMetError(
                f"the converted model is not saved: {said}",
                remedy=advice(refused).replace("PATH.xml", "PATH.tflite"),
                result=result,
            )
        saved = _saved(config, made, result, output)
        sidecar.write_text(sidecar_text(saved.sha256 or "", saved.to_json()), encoding="utf-8")
        draft.write(conversion_document(saved, pictures))
        output.commit()
        return saved


def _coral(config: ConvertTfliteConfig, made: Made, context: Context) -> Coral | None:
    """Say what an Edge TPU takes of an int8 file, and compile it where the compiler is here."""
    if config.precision != "int8":
        return None
    report = Coral.of(edgetpu_report(read_tflite(made.plain)))
    return compile_for_coral(report, made.plain, context)


def _result(
    config: ConvertTfliteConfig,
    source: Source,
    made: Made,
    pair: Pair,
    seen: Seen,
    *,
    held: list[Outcome],
    coral: Coral | None,
) -> ConvertTfliteResult:
    from edgecv_cli.measure.hardware import machine

    warnings = (*source.warnings, *seen.warnings, *(one.warning for one in held if one.warning))
    return ConvertTfliteResult(
        machine=machine(config.threads),
        model=str(config.model),
        precision=config.precision,
        **figures(pair, seen),
        engine=pair.engine,
        gates={one.name: one.text for one in held},
        warnings=warnings,
        notes=(*made.notes, *remarks(pair, seen)),
        how=how_made(
            pair, seen, images="--images" if source.images else "--calibration", seed=config.seed
        ),
        provenance=made.lineage,
        report=None if config.report is None else str(config.report),
        decode="inside" if source.split.decode is None else "outside",
        inputs=tuple(_moved(port) for port in made.bundle.inputs),
        outputs=tuple(_moved(port) for port in made.bundle.heads),
        coral=coral,
    )


def _moved(port: Port) -> Moved:
    return Moved(name=port.name, shape=port.shape, position=port.position, order=port.order)


def _saved(
    config: ConvertTfliteConfig, made: Made, result: ConvertTfliteResult, output: Publication
) -> ConvertTfliteResult:
    """Put the files where they are published from; returns the result that says so."""
    shutil.copyfile(made.path, output.main)
    digest = sha256_file(output.main)
    file = SavedFile(
        part="model",
        path=str(config.output),
        size_bytes=output.main.stat().st_size,
        sha256=digest,
    )
    coral = result.coral
    if coral is not None and coral.compiled is not None:
        name = compiled_name(config.output)
        shutil.copyfile(made.plain.with_name(compiled_name(made.plain)), output.part(name))
        coral = coral.model_copy(update={"compiled": _placed(coral.compiled, config.output, name)})
    return result.model_copy(
        update={
            "files": (file,),
            "saved": str(config.output),
            "sha256": digest,
            "coral": coral,
        }
    )


def _placed(compiled: Compiled, target: Path, name: str) -> Compiled:
    return compiled.model_copy(update={"path": str(target.with_name(name))})


def _rejected(
    config: ConvertTfliteConfig, made: Made, result: ConvertTfliteResult
) -> ConvertTfliteResult:
    if config.keep_rejected is None:
        return result
    keep(made.path, config.keep_rejected, force=config.force)
    return result.model_copy(update={"rejected": str(config.keep_rejected)})


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
