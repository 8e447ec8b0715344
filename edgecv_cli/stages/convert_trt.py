"""convert-trt: check a graph against TensorRT's rules, rewrite it, and build an engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.engine_file import INTERFACE, interface_of
from edgecv_cli.artifact.lineage import LINEAGE_KEY, SPEC_KEY, TARGET_KEY, Step, dump_lineage
from edgecv_cli.artifact.sidecar import sidecar_path, sidecar_text
from edgecv_cli.compress.quantization.float_forms import to_fp16
from edgecv_cli.compress.quantization.half_around import to_fp16_around
from edgecv_cli.config.conversion import Verified
from edgecv_cli.config.convert_trt import VERIFIED, ConvertTrtConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import GateNotMetError
from edgecv_cli.core.files import Publication, sha256_file
from edgecv_cli.core.scratch import scratch
from edgecv_cli.core.store import digest_key
from edgecv_cli.core.version import __version__
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.io import serialize, with_metadata
from edgecv_cli.graph.normalise import normalise
from edgecv_cli.graph.quantized import is_quantized
from edgecv_cli.graph.tensorrt.engine_weights import weights_inside
from edgecv_cli.graph.tensorrt.pair_repairs import COARSER
from edgecv_cli.graph.tensorrt.preflight import preflight
from edgecv_cli.graph.tensorrt.repair import repaired
from edgecv_cli.graph.tensorrt.target import TrtTarget, target_of
from edgecv_cli.graph.tensorrt.trtexec import trtexec_line
from edgecv_cli.graph.topology import Topology
from edgecv_cli.measure.hardware import machine
from edgecv_cli.runtime.tensorrt_rtx_build import Built, build_engine, require_builder
from edgecv_cli.stages.convert_trt_checks import (
    Checked,
    as_repairs,
    as_results,
    held_against,
    require_images,
)
from edgecv_cli.stages.convert_trt_classic import Classic, finish_classic
from edgecv_cli.stages.convert_trt_result import (
    ConvertTrtResult,
    EngineBuilt,
    Repaired,
    RuleFinding,
    WeightsFound,
)
from edgecv_cli.stages.convert_trt_source import TrtSource, read_source
from edgecv_cli.stages.quantize_result import QuantizeResult

if TYPE_CHECKING:
    import onnx

_MODEL, _ENGINE = "model.onnx", "model.engine"
_SPARED = (
    "with symmetric int8 throughout a gate was not met, so the layers of {count} tensors whose "
    "grid can't be kept compute in float"
)
_NOTHING = ("no int8 form met the gates of quantize, so nothing was converted",)


def convert_trt(config: ConvertTrtConfig, context: Context) -> ConvertTrtResult:
    """Check, rewrite if asked to, and build an engine where that can be done here.

    Raises:
        GateNotMetError: a finding of level error is left, the fixed model is worse than was
            asked for, or it is verified less far; with the whole result, and nothing is saved.
        UsageError: options contradict each other or the model, or the output stands already.
        ModelError, DataError, EngineError, MissingDependencyError: an input or a library can't
            be used.
    """
    target = target_of(config.device, config.trt_version, config.precision)
    if config.output is None:
        result = _looked(config, Artifact.open(config.model), target)
        _refuse_errors(result)
        return result
    if config.builds:
        require_builder()
    read = (config.model, config.images, config.data, config.calibration)
    inputs = [path for path in read if path is not None]
    with (
        Publication(config.output, force=config.force, inputs=inputs) as publication,
        scratch() as folder,
    ):
        places = _places(config, publication)
        result = _Conversion(config, target, places, folder, context).run()
        publication.commit()
    return result


def _looked(config: ConvertTrtConfig, artifact: Artifact, target: TrtTarget) -> ConvertTrtResult:
    """Return the findings of a model as it is."""
    model = artifact.model
    return ConvertTrtResult(
        model=str(config.model),
        model_sha256=artifact.sha256,
        device=target.device,
        runtime=target.label,
        precision=config.precision,
        preflight=as_results(preflight(model, target)),
        command=trtexec_line(target, quantized=is_quantized(model)),
    )


def _refuse_errors(result: ConvertTrtResult) -> None:
    errors = result.errors()
    if errors:
        first = errors[0]
        where = f" at '{first.node}'" if first.node else ""
        raise GateNotMetError(
            f"{result.runtime} would refuse the model: {len(errors)} findings of level error, the "
            f"first {first.rule}{where}: {first.message}",
            remedy=first.remedy,
            result=result,
        )


@dataclass(frozen=True)
class _Places:
    """Where the files are written to.

    Attributes:
        model: the checked model.
        engine: that of TensorRT-RTX; None where none is asked for.
        sidecars: what is said of both.
        classic: folder for what classic TensorRT needs; None where it is not asked for.
    """

    model: Path
    engine: Path | None
    sidecars: Mapping[str, Path]
    classic: Path | None = None


def _places(config: ConvertTrtConfig, publication: Publication) -> _Places:
    """Take the places before the work: a name that is taken must not be found out after it."""
    if config.model_only:
        main = publication.main
        return _Places(main, None, {"model": publication.part(sidecar_path(main).name)})
    folder = publication.folder()
    model, engine = folder / _MODEL, folder / _ENGINE
    sidecars = {"model": sidecar_path(model), "engine": sidecar_path(engine)}
    classic = folder if config.elsewhere else None
    return _Places(model, engine if config.builds else None, sidecars, classic)


class _WorseError(GateNotMetError):
    """The fixed model is worse than was asked for; ``said`` names the gates with what came out."""

    def __init__(self, problem: str, *, remedy: str, result: ConvertTrtResult, said: str) -> None:
        super().__init__(problem, remedy=remedy, result=result)
        self.said = said
        self.coarser = sum(one.did.endswith(COARSER) for one in result.fixed)


class _Conversion:
    """One conversion with an output."""

    def __init__(
        self,
        config: ConvertTrtConfig,
        target: TrtTarget,
        places: _Places,
        folder: Path,
        context: Context,
    ) -> None:
        self._config = config
        self._target = target
        self._places = places
        self._folder = folder
        self._context = context
        self._source = self._read()

    def _read(self) -> TrtSource:
        try:
            return read_source(self._config, self._folder, self._context)
        except GateNotMetError as error:
            if isinstance(error.result, QuantizeResult):
                plain = replace(self._target, precision=None)
                looked = _looked(self._config, Artifact.open(self._config.model), plain)
                told = {"quantized": error.result, "gates": error.result.gates, "notes": _NOTHING}
                error.result = looked.model_copy(update=told)
            raise

    def run(self) -> ConvertTrtResult:
        """Check, rewrite, compare, build and write."""
        result = _looked(self._config, self._source.artifact, self._target)
        baked = self._source.baked
        made: dict[str, Any] = {
            "model_sha256": self._source.given.sha256,
            "quantized": self._source.quantized,
            "baked": baked,
            "notes": () if baked is None else (f"preprocessing {baked}",),
        }
        result = result.model_copy(update=made)
        try:
            result, path, spec = self._rewritten(result, sparing=False)
        except _WorseError as worse:
            if not worse.coarser:
                raise
            result, path, spec = self._rewritten(result, sparing=True)
            note = f"{_SPARED.format(count=worse.coarser)}: {worse.said}"
            result = result.model_copy(update={"notes": (*result.notes, note)})
        result = self._built(result, path, spec)
        return self._finished(result)

    def _rewritten(
        self, result: ConvertTrtResult, *, sparing: bool
    ) -> tuple[ConvertTrtResult, Path, DetectorSpec]:
        """Rewrite if asked to, write the model, and hold it against the original.

        Raises:
            GateNotMetError: a finding of level error is left.
            _WorseError: it is worse than was asked for.
            UsageError: there is nothing to check it on.
        """
        model = self._source.artifact.model
        if self._config.fix:
            model, fixed = self._fixed(model, sparing=sparing)
            left = as_results(preflight(model, self._target))
            command = trtexec_line(self._target, quantized=is_quantized(model))
            changes: dict[str, Any] = {"found": result.preflight, "preflight": left}
            result = result.model_copy(update={**changes, "fixed": fixed, "command": command})
        _refuse_errors(result)
        require_images(self._config, result.fixed)
        spec = self._source.spec(self._config)
        path = self._write(model, spec)
        return (self._compared(result, path, spec) if result.fixed else result), path, spec

    def _fixed(
        self, model: onnx.ModelProto, *, sparing: bool
    ) -> tuple[onnx.ModelProto, tuple[Repaired, ...]]:
        """Rewrite what can be, and cast to float16 where the graph alone decides precision."""
        rewritten, mended = repaired(
            model, self._target, input_size=self._config.input_size, sparing=sparing
        )
        fixed = as_repairs(mended)
        if self._config.precision != "fp16" or not self._target.by_graph(is_quantized(rewritten)):
            return rewritten, fixed
        if is_quantized(rewritten):
            half, around = to_fp16_around(rewritten), "int8, but for the decode tail"
        else:
            half, around = to_fp16(Topology.of(normalise(rewritten))), "all but the decode tail"
        did = f"casts to float16 around {around}"
        return half, (*fixed, Repaired(rule="precision-flag", node="", did=did, exact=False))

    def _write(self, model: onnx.ModelProto, spec: DetectorSpec) -> Path:
        """Write the model with its spec and lineage; returns where it stands for now."""
        decided = {"device": self._target.device, "release": list(self._target.release)}
        options = {"fix": self._config.fix, "precision": self._config.precision}
        step = Step(
            stage="convert-trt",
            config=digest_key(decided={**decided, **options}),
            parents=(self._source.artifact.content_digest,),
            versions={"edgecv": __version__},
        )
        entries = {
            SPEC_KEY: spec.dumps(),
            LINEAGE_KEY: dump_lineage([*self._source.artifact.lineage, step]),
            TARGET_KEY: "tensorrt",
        }
        self._places.model.write_bytes(serialize(with_metadata(model, entries)))
        return self._places.model

    def _compared(
        self, result: ConvertTrtResult, path: Path, spec: DetectorSpec
    ) -> ConvertTrtResult:
        """Hold the fixed model against the original.

        Raises:
            _WorseError: it is worse than was asked for.
        """
        original = self._source.artifact
        checked: Checked = held_against(original, path, spec, self._config, self._context)
        result = result.model_copy(
            update={
                "checked": checked.result,
                "gates": checked.gates,
                "notes": (*result.notes, *checked.notes),
                "machine": None if checked.result is None else machine(self._config.threads),
            }
        )
        if checked.refused:
            said = "; ".join(f"{name} {checked.gates[name]}" for name in checked.refused)
            raise _WorseError(
                f"the fixed model is worse than the original: {said}",
                remedy="start from the float model: edgecv quantize --target tensorrt; or widen "
                "the gate",
                result=result,
                said=said,
            )
        return result

    def _built(self, result: ConvertTrtResult, path: Path, spec: DetectorSpec) -> ConvertTrtResult:
        """Build an engine or a bundle, if one is asked for, and say how far that is verified.

        Raises:
            GateNotMetError: NVIDIA's parser or builder refuses the model, or --require.
        """
        verified: Verified = "structure"
        if self._places.engine is not None:
            wanted = self._config.compute_capability or ()
            with self._context.progress.task("build engine", None, "engine"):
                built = build_engine(path, self._places.engine, wanted, self._context)
            if built.refusals:
                refused = _refused(built)
                result = result.model_copy(update={"preflight": (*refused, *result.preflight)})
                _refuse_errors(result)
            verified = "built"
            result = result.model_copy(update={"engine": self._engine(built)})
        if self._places.classic is not None:
            job = Classic(self._config, self._target, path, spec, self._places.classic)
            result, verified = finish_classic(job, result, self._folder, self._context)
        result = result.model_copy(update={"verified": verified})
        asked = self._config.require
        if asked is not None and VERIFIED.index(verified) < VERIFIED.index(asked):
            raise GateNotMetError(
                f"verified here: {verified}; asked for: {asked}",
                remedy="run it on a machine with the GPU, or lower --require",
                result=result,
            )
        return result

    def _engine(self, built: Built) -> EngineBuilt:
        assert self._places.engine is not None
        assert self._config.output is not None
        model, engine = Artifact.open(self._places.model).model, self._places.engine.read_bytes()
        inside = weights_inside(model, engine)
        return EngineBuilt(
            path=str(self._config.output / _ENGINE),
            runtime=f"TensorRT-RTX {built.version}",
            capabilities=built.capabilities,
            size_bytes=built.size,
            sha256=sha256_file(self._places.engine),
            layers=dict(built.layers),
            weights=WeightsFound(
                layers=inside.layers, size_bytes=inside.size, unseen=inside.unseen
            ),
        )

    def _finished(self, result: ConvertTrtResult) -> ConvertTrtResult:
        """Write the sidecars; returns the result that says what was saved."""
        written = Artifact.open(self._places.model)
        output = self._config.output
        assert output is not None
        done = result.model_copy(
            update={
                "saved": str(output if self._config.model_only else output / _MODEL),
                "sha256": written.sha256,
                "provenance": written.lineage,
            }
        )
        digests = {"model": written.sha256}
        if result.engine is not None:
            digests["engine"] = result.engine.sha256
        spec = written.metadata[SPEC_KEY]
        facts = written.facts(DetectorSpec.loads(spec).input.size)
        told = _told_beside(done)
        about = {**told, "spec": spec, INTERFACE: interface_of(facts)}
        for name, digest in digests.items():
            text = sidecar_text(digest, about if name == "engine" else told)
            self._places.sidecars[name].write_text(text, encoding="utf-8")
        return done


def _told_beside(done: ConvertTrtResult) -> dict[str, object]:
    """Return the result for a sidecar: its files by their names, wherever the folder is moved."""
    update: dict[str, object] = {
        "model": Path(done.model).name,
        "saved": Path(str(done.saved)).name,
    }
    if done.engine is not None:
        name = Path(done.engine.path).name
        update["engine"] = done.engine.model_copy(update={"path": name})
    if done.bundle is not None:
        update["bundle"] = Path(done.bundle).name
    if done.quantized is not None:
        update["quantized"] = done.quantized.model_copy(update={"model": update["model"]})
    return done.model_copy(update=update).to_json()


def _refused(built: Built) -> list[RuleFinding]:
    """Return what NVIDIA's own parser or builder says against a model."""
    remedy = "report it as a rule that edgecv lacks, with the model; or export without that node"
    return [
        RuleFinding(rule="parser", level="error", node=one.node, message=one.problem, remedy=remedy)
        for one in built.refusals
    ]
