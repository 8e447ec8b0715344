"""quantize: calibrate, search, apply, judge, and save only what passes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import (
    LINEAGE_KEY,
    SPEC_KEY,
    TARGET_KEY,
    Step,
    dump_lineage,
)
from edgecv_cli.artifact.sidecar import sidecar_path, sidecar_text
from edgecv_cli.compress.quantization.apply import apply_normalised
from edgecv_cli.compress.quantization.evidence import Evidence, gather, read_topology, scratch
from edgecv_cli.compress.quantization.judge import Gates, Judge, Verdict
from edgecv_cli.compress.quantization.placement import integer_share
from edgecv_cli.compress.quantization.plan import QuantizePlan
from edgecv_cli.compress.quantization.propose import Recipe
from edgecv_cli.compress.quantization.search import Candidate, Search, space_of
from edgecv_cli.compress.quantization.targets import TargetRules, resolve_target
from edgecv_cli.config.quantize import QuantizeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import GateNotMetError, UsageError
from edgecv_cli.core.files import Publication, sha256_file
from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.core.store import digest_key
from edgecv_cli.detector.feeding import fed_as
from edgecv_cli.detector.spec import DetectorSpec
from edgecv_cli.graph.inspect import input_specs
from edgecv_cli.graph.io import serialize, with_metadata
from edgecv_cli.graph.topology import Topology
from edgecv_cli.measure.fitness import warnings_of
from edgecv_cli.measure.hardware import engine_versions, machine
from edgecv_cli.media.dataset import Dataset, open_dataset
from edgecv_cli.media.images import ImageFolder, open_images
from edgecv_cli.report.blocks import Block
from edgecv_cli.stages.compose.pictures import Pictured, pair_blocks
from edgecv_cli.stages.compose.publishing import reporting
from edgecv_cli.stages.compose.quantize import quantize_document
from edgecv_cli.stages.quantize_refusal import advice, unmet
from edgecv_cli.stages.quantize_report import RunFacts, build_result, kept_float
from edgecv_cli.stages.quantize_result import QuantizeResult

_MAX_JUDGED = 3


def quantize(config: QuantizeConfig, context: Context) -> QuantizeResult:
    """Quantize a detector to 8 bits and save it only if it is as good as asked.

    Raises:
        GateNotMetError: no candidate met the gates; it carries the whole result.
        UsageError: options contradict each other, or the output stands already.
        ModelError, DataError, EngineError: an input can't be used.
    """
    with (
        reporting(config.report, force=config.force, inputs=[config.model, config.output]) as draft,
        Publication(config.output, force=config.force, inputs=[config.model]) as output,
        scratch() as folder,
    ):
        # Asked for before the work: a name that is taken must not be found out after it.
        places = output.main, output.part(sidecar_path(config.output).name)
        job = _Job.prepare(config, context, folder)
        judged = job.decide()
        result = job.report(judged)
        if not judged[-1].verdict.refused:
            plan = judged[-1].candidate.plan
            saved = job.write(places, judged[-1].path, result, plan)
            pictures = job.pictures(judged[-1]) if draft.wanted else []
        elif config.precision == "auto":
            saved = job.write(places, *job.keep_float(judged, result), None)
            pictures = []
        else:
            refusal = _refusal(config, judged, result)
            if draft.wanted and isinstance(refusal.result, QuantizeResult):
                draft.write(quantize_document(refusal.result, job.pictures(judged[-1])))
            raise refusal
        draft.write(quantize_document(saved, pictures))
        output.commit()
        return saved


@dataclass(frozen=True)
class Judged:
    """A candidate that was taken to the gates; its file is what was measured."""

    candidate: Candidate
    path: Path
    verdict: Verdict


class _Job:
    """One run: inputs read and checked, evidence gathered, then a decision."""

    def __init__(
        self,
        config: QuantizeConfig,
        context: Context,
        folder: Path,
        *,
        artifact: Artifact,
        spec: DetectorSpec,
        rules: TargetRules,
        images: ImageFolder | None,
        data: Dataset | None,
        topology: Topology,
        plan: QuantizePlan | None,
    ) -> None:
        self.config = config
        self.context = context
        self.folder = folder
        self.artifact = artifact
        self.spec = spec
        self.rules = rules
        self.images = images
        self.data = data
        self.topology = topology
        self.plan = plan
        self.evidence: Evidence | None = None
        self.candidates: list[Candidate] = []
        self.judge: Judge | None = None

    @classmethod
    def prepare(cls, config: QuantizeConfig, context: Context, folder: Path) -> _Job:
        """Read every input, so that a bad one fails before the long work."""
        artifact = Artifact.open(config.model)
        plan = None if config.plan is None else _read_plan(config, config.plan, artifact)
        rules = resolve_target(config.target if plan is None else plan.target)
        if config.min_speedup is not None and not rules.here:
            raise UsageError(
                f"--min-speedup can't be judged here: this machine is not a {rules.name}",
                remedy="leave --min-speedup out, or quantize on such a machine",
            )
        for extra in (config.save_plan, config.keep_rejected):
            if extra is not None:
                inputs = [config.model, config.output]
                with Publication(extra, force=config.force, inputs=inputs) as place:
                    _ = place.main  # refuses a folder
        input_size = config.input_size if plan is None else plan.input_size
        recognised = artifact.detector(config.spec, input_size=input_size)
        for warning in warnings_of(artifact, recognised):
            context.progress.note(f"warning: {warning}")
        data = None if config.data is None else open_dataset(config.data, limit=config.limit)
        images = None
        if config.calibration is not None:
            images = open_images(config.calibration, config.images)
        for opened in (data, images):
            for note in opened.notes if opened else ():
                context.progress.note(note)
        topology = read_topology(artifact, input_size)
        if artifact.facts(input_size).precision == "fp16":
            context.progress.note("the model is float16: what is not made int8 becomes float32")
        return cls(
            config,
            context,
            folder,
            artifact=artifact,
            spec=recognised.spec,
            rules=rules,
            images=images,
            data=data,
            topology=topology,
            plan=plan,
        )

    def decide(self) -> list[Judged]:
        """Judge candidates until one meets the gates; that one, or else the best, is last."""
        ordered = self._search() if self.plan is None else [self._replayed(self.plan)]
        self.candidates = ordered
        self.judge = self._make_judge()
        judged: list[Judged] = []
        for candidate in ordered[:_MAX_JUDGED]:
            path = self.folder / f"judged-{len(judged)}.onnx"
            path.write_bytes(self.bytes_of(candidate.plan))
            judged.append(Judged(candidate, path, self.judge.judge(path)))
            if not judged[-1].verdict.refused:
                return judged
        return sorted(judged, key=_merit)

    def bytes_of(self, plan: QuantizePlan) -> bytes:
        """Apply a plan and write spec and lineage into the model."""
        model = apply_normalised(self.topology, plan)
        entries = self._metadata("quantize", plan.model_dump(mode="json"))
        # a float16 model's integer form takes float32
        entries[SPEC_KEY] = fed_as(input_specs(model), self.spec).dumps()
        return serialize(with_metadata(model, {**entries, TARGET_KEY: plan.target}))

    def keep_float(
        self, judged: Sequence[Judged], result: QuantizeResult
    ) -> tuple[Path, QuantizeResult]:
        """Write the float model with its spec; returns its file and the result that says why."""
        reason = f"fp32 is kept: {unmet(judged[-1].verdict)}"
        path = self.folder / "kept.onnx"
        entries = self._metadata("quantize", {"precision": "fp32"})
        path.write_bytes(serialize(with_metadata(self.artifact.model, entries)))
        return path, kept_float(result, reason, path.stat().st_size)

    def _metadata(self, stage: str, decided: dict[str, object]) -> dict[str, str]:
        step = Step(
            stage=stage,
            config=digest_key(decided=decided),
            data=None if self.images is None else self.images.digest,
            parents=(self.artifact.content_digest,),
            versions=_versions(),
        )
        return {
            SPEC_KEY: self.spec.dumps(),
            LINEAGE_KEY: dump_lineage([*self.artifact.lineage, step]),
        }

    def _search(self) -> list[Candidate]:
        assert self.images is not None
        config = self.config
        self.evidence = gather(
            self.artifact,
            self.topology,
            self.spec,
            self.images.paths,
            input_size=config.input_size,
            engine=config.engine,
            threads=config.threads,
            context=self.context,
        )
        search = Search(
            self.evidence,
            self.artifact,
            self.rules,
            self.folder,
            engine=config.engine,
            threads=config.threads,
            seconds=config.speed_seconds / 4,
            context=self.context,
        )
        space = space_of(
            self.evidence,
            placement=config.placement,
            estimator=config.estimator,
            correction=config.bias_correction,
            percentile=config.percentile,
        )
        return search.run(space, config.prefer, timed=self.rules.here)

    def _replayed(self, plan: QuantizePlan) -> Candidate:
        recipe = Recipe(plan.placement, plan.estimator, plan.bias_correction)
        return Candidate(recipe, plan, integer_share(self.topology, plan.nodes))

    def _make_judge(self) -> Judge:
        config = self.config
        images: Sequence[Path] = ()
        if self.evidence is not None:
            images = self.evidence.used
        elif self.images is not None:
            images = self.images.paths
        if self.data is None and not images:
            raise UsageError(
                "there are no images to judge the plan's model on",
                remedy="add --calibration DIR or --data DIR",
            )
        return Judge(
            self.artifact,
            self.spec,
            Gates(
                config.drop_gate, config.agreement_gate, config.speedup_gate, config.must_be_shown
            ),
            data=self.data,
            images=images,
            engine=config.engine,
            threads=config.threads,
            speed_seconds=config.speed_seconds if self.rules.here else None,
            context=self.context,
        )

    def report(self, judged: Sequence[Judged]) -> QuantizeResult:
        """Put everything that was measured into one result."""
        assert self.judge is not None
        last = judged[-1]
        verdicts = {
            entry.candidate.recipe: ", ".join(entry.verdict.refused) or "met" for entry in judged
        }
        run = RunFacts(
            config=self.config,
            artifact=self.artifact,
            topology=self.topology,
            target=self.rules,
            evidence=self.evidence,
            judge=self.judge,
            threads=self.config.threads or usable_cores(),
            machine=machine(self.config.threads),
        )
        return build_result(
            run,
            last.candidate,
            last.verdict,
            path=last.path,
            candidates=self.candidates,
            verdicts=verdicts,
        )

    def pictures(self, judged: Judged) -> list[Block]:
        """Draw what the original and the candidate find in a few of the judged images."""
        assert self.judge is not None
        return pair_blocks(
            self.judge.paths,
            Pictured("original", self.judge.baseline.plain),
            Pictured("int8", judged.verdict.seen.plain),
            self.spec.classes,
            self.spec.score_threshold,
        )

    def write(
        self,
        places: tuple[Path, Path],
        path: Path,
        result: QuantizeResult,
        plan: QuantizePlan | None,
    ) -> QuantizeResult:
        """Write the judged file, its sidecar and its plan; returns the result that says so."""
        main, sidecar = places
        shutil.copyfile(path, main)
        digest = sha256_file(main)
        planned = self.config.save_plan if plan is not None else None
        saved = result.model_copy(
            update={
                "saved": str(self.config.output),
                "sha256": digest,
                "provenance": Artifact.open(path).lineage,
                "plan": None if planned is None else str(planned),
            }
        )
        sidecar.write_text(sidecar_text(digest, saved.to_json()), encoding="utf-8")
        if plan is not None:
            self.save_plan(plan)
        return saved

    def save_plan(self, plan: QuantizePlan) -> None:
        """Write the plan where --save-plan says."""
        path = self.config.save_plan
        if path is not None:
            with Publication(path, force=self.config.force) as publication:
                publication.main.write_text(plan.dumps(), encoding="utf-8")
                publication.commit()


def _read_plan(config: QuantizeConfig, path: Path, artifact: Artifact) -> QuantizePlan:
    plan = QuantizePlan.read(path)
    plan.require_source(artifact.content_digest)
    if config.target not in ("cpu", plan.target):
        raise UsageError(
            f"the plan was made for {plan.target}, not for {config.target}",
            remedy="leave --target out, or quantize anew with --calibration",
        )
    if config.input_size not in (None, plan.input_size):
        raise UsageError(
            "--input-size is not the size that the plan was made for",
            remedy="leave --input-size out, or quantize anew with --calibration",
        )
    return plan


def _merit(judged: Judged) -> tuple[int, float]:
    """Sort key: fewest refusals last, then the most accurate last."""
    seen = judged.verdict.seen.accuracy
    value = seen.map if seen is not None else (judged.verdict.agreement or 0.0)
    return -len(judged.verdict.refused), value


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


def _versions() -> dict[str, str]:
    from edgecv_cli.core.version import __version__

    return {"edgecv": __version__, **engine_versions()}
