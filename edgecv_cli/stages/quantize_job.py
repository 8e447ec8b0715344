"""One run of quantize: evidence gathered, candidates made, and taken to the gates in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgecv_cli.artifact.lineage import LINEAGE_KEY, SPEC_KEY, TARGET_KEY, Step, dump_lineage
from edgecv_cli.compress.quantization.apply import apply_normalised
from edgecv_cli.compress.quantization.audit import Finding, audit, too_few
from edgecv_cli.compress.quantization.build import Builder
from edgecv_cli.compress.quantization.evidence import Evidence
from edgecv_cli.compress.quantization.judge import Gates, Judge, Verdict
from edgecv_cli.compress.quantization.placement import integer_share
from edgecv_cli.compress.quantization.plan import QuantizePlan
from edgecv_cli.compress.quantization.ranking import Ranking
from edgecv_cli.compress.quantization.recipe import Candidate, Goal, Recipe
from edgecv_cli.compress.quantization.search import Search, space_of
from edgecv_cli.compress.quantization.sensitivity import Probe, Sensitivity
from edgecv_cli.config.quantize import QuantizeConfig
from edgecv_cli.core.context import Context
from edgecv_cli.core.errors import UsageError
from edgecv_cli.core.machine_limits import usable_cores
from edgecv_cli.core.store import digest_key
from edgecv_cli.detector.feeding import fed_as
from edgecv_cli.graph.bake_input import bytes_as_integers
from edgecv_cli.graph.inspect import input_specs
from edgecv_cli.graph.io import serialize, with_metadata
from edgecv_cli.graph.topology import Topology
from edgecv_cli.measure.hardware import engine_versions, machine
from edgecv_cli.measure.operating_point import Refit
from edgecv_cli.report.blocks import Block
from edgecv_cli.stages.compose.pictures import Pictured, pair_blocks
from edgecv_cli.stages.quantize_inputs import Inputs
from edgecv_cli.stages.quantize_refusal import unmet
from edgecv_cli.stages.quantize_report import RunFacts, build_result, kept_float
from edgecv_cli.stages.quantize_result import QuantizeResult

_MAX_JUDGED = 6
_HOPE = 0.95
_SMALL_SHARE = 0.02


@dataclass(frozen=True)
class Judged:
    """A candidate that was taken to the gates; its file is what was measured."""

    candidate: Candidate
    path: Path
    verdict: Verdict
    refit: Refit | None = None


class Job:
    """Makes candidates and judges them, best first, until one meets the gates."""

    def __init__(
        self, config: QuantizeConfig, inputs: Inputs, folder: Path, context: Context
    ) -> None:
        self.config = config
        self.inputs = inputs
        self.folder = folder
        self.context = context
        self.evidence: Evidence | None = None
        self.ranking: Ranking | None = None
        self.findings: tuple[Finding, ...] = ()
        self.sensitivity: Sensitivity | None = None
        self.candidates: list[Candidate] = []
        self.judge: Judge | None = None

    def decide(self) -> list[Judged]:
        """Judge candidates until one meets the gates; that one, or else the best, is last."""
        self.candidates = self._candidates()
        self.judge = self._make_judge()
        judged: list[Judged] = []
        for candidate in self._tries():
            path = self.folder / f"judged-{len(judged)}.onnx"
            final, refit = self._written(candidate, path)
            judged.append(Judged(final, path, self.judge.judge(path), refit))
            if not judged[-1].verdict.refused:
                return judged
        return sorted(judged, key=_merit)

    def bytes_of(self, plan: QuantizePlan) -> bytes:
        """Apply a plan and write spec and lineage into the model."""
        model = apply_normalised(self.inputs.topology, plan)
        if self.inputs.spec.input.dtype == "uint8":
            model = bytes_as_integers(model, self.inputs.spec.input.name)
        entries = self._metadata("quantize", plan.model_dump(mode="json"))
        # a float16 model's integer form takes float32
        spec = fed_as(input_specs(model), self.inputs.spec)
        if plan.score_threshold is not None:
            spec = spec.model_copy(update={"score_threshold": plan.score_threshold})
        entries[SPEC_KEY] = spec.dumps()
        return serialize(with_metadata(model, {**entries, TARGET_KEY: plan.target}))

    def keep_float(
        self, judged: Sequence[Judged], result: QuantizeResult
    ) -> tuple[Path, QuantizeResult]:
        """Write the float model with its spec; returns its file and the result that says why."""
        reason = f"fp32 is kept: {'; '.join(self._why_not(judged))}"
        path = self.folder / "kept.onnx"
        entries = self._metadata("quantize", {"precision": "fp32"})
        path.write_bytes(serialize(with_metadata(self.inputs.artifact.model, entries)))
        return path, kept_float(result, reason, path.stat().st_size)

    def _why_not(self, judged: Sequence[Judged]) -> list[str]:
        """Say of integers and of the simplified graph what spoke against each."""
        why = []
        integer = [one for one in judged if one.candidate.plan.precision != "fp32"]
        timed = [one.speedup for one in self.candidates if one.speedup is not None]
        if integer:
            why.append(f"int8: {unmet(integer[-1].verdict)}")
        elif timed:
            why.append(f"int8: {max(timed):.2f}x at best, by a short measurement")
        simplified = [one for one in judged if one.candidate.plan.precision == "fp32"]
        why += [f"the simplified graph: {unmet(one.verdict)}" for one in simplified]
        return why

    def report(self, judged: Sequence[Judged]) -> QuantizeResult:
        """Put everything that was measured into one result."""
        assert self.judge is not None
        last = judged[-1]
        verdicts = {
            entry.candidate.recipe: ", ".join(entry.verdict.refused) or "met" for entry in judged
        }
        run = RunFacts(
            config=self.config,
            inputs=self.inputs,
            evidence=self.evidence,
            judge=self.judge,
            findings=self.findings,
            refit=last.refit,
            sensitivity=self.sensitivity,
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
        spec = self.inputs.spec
        return pair_blocks(
            self.judge.paths,
            Pictured("original", self.judge.baseline.plain),
            Pictured(judged.candidate.plan.precision, judged.verdict.seen.plain),
            spec.classes,
            spec.score_threshold,
        )

    def _candidates(self) -> list[Candidate]:
        inputs, config = self.inputs, self.config
        if inputs.plan is not None:
            plan = inputs.plan
            recipe = Recipe(plan.placement, plan.estimator, plan.bias_correction)
            return [Candidate(recipe, plan, integer_share(inputs.topology, plan.nodes))]
        assert inputs.images is not None
        evidence = self._gather()
        builder = Builder(
            evidence,
            inputs.rules,
            self._observed,
            folder=self.folder,
            threads=config.threads,
            context=self.context,
        )
        if config.precision not in ("int8", "auto", "mixed"):
            return [builder.form(config.precision)]
        found = self._searched(evidence, builder)
        return [*found, builder.form("fp32")] if config.precision == "auto" else found

    def _searched(self, evidence: Evidence, builder: Builder) -> list[Candidate]:
        inputs, config = self.inputs, self.config
        self.ranking = self._ranking(evidence)
        search = Search(
            inputs.topology,
            builder,
            self.ranking,
            lambda plan: self._damages(plan, evidence),
            self.folder,
            seconds=config.speed_seconds / 4,
            context=self.context,
        )
        space = space_of(
            inputs.topology,
            glue=inputs.rules.glue,
            placement=config.placement,
            estimator=config.estimator,
            corrections={
                "bias_correction": config.bias_correction,
                "rounding": config.adaptive_rounding,
                "equalise": config.equalisation,
            },
            percentile=config.percentile,
        )
        goal = Goal(
            config.prefer,
            spend=config.max_drop is not None,
            min_share=config.least_share,
            min_speedup=config.speedup_gate,
        )
        return search.run(space, goal, timed=inputs.rules.here)

    def _tries(self) -> list[Candidate]:
        """Return what is taken to the gates, in order; a float form is tried last."""
        floats = [one for one in self.candidates if one.plan.precision == "fp32"]
        others = [one for one in self.candidates if one not in floats]
        hopeful = [one for one in others if not self._hopeless(one)][: _MAX_JUDGED - len(floats)]
        return [*hopeful, *floats] or others[:1]

    def _hopeless(self, candidate: Candidate) -> bool:
        """Whether a candidate is so slow by the short measurement that no longer one saves it."""
        speedup = candidate.speedup
        return speedup is not None and speedup < _HOPE * self.config.speedup_gate

    def _damages(self, plan: QuantizePlan, evidence: Evidence) -> Sequence[tuple[str, ...]]:
        """Return groups of a plan's layers, the one first that does most damage for its work."""
        inputs = self.inputs
        probe = Probe(
            inputs.topology,
            plan,
            inputs.artifact,
            inputs.spec,
            evidence.used,
            glue=inputs.rules.glue,
            folder=self.folder,
            threads=self.config.threads,
            context=self.context,
        )
        self.sensitivity = probe.run()
        rows = [row for row in self.sensitivity.rows if row.damage > 0]
        # what little a small group gives in speed must not make it the dearest
        rows.sort(key=lambda row: -row.damage / (row.macs_share + _SMALL_SHARE))
        return [row.layers for row in rows]

    def _gather(self) -> Evidence:
        inputs, config = self.inputs, self.config
        assert inputs.images is not None
        data = [item.path for item in inputs.data.items] if inputs.data else []
        self.findings = audit(
            inputs.artifact,
            inputs.spec,
            inputs.images.paths,
            data,
            engine="onnxruntime",
            threads=config.threads,
            context=self.context,
        )
        self.evidence = self._observed(inputs.topology, inputs.images.paths)
        self.findings += too_few(self.evidence.observed.images, None)
        return self.evidence

    def _observed(self, topology: Topology, paths: Sequence[Path]) -> Evidence:
        return self.inputs.observe(
            topology, paths, threads=self.config.threads, context=self.context
        )

    def _ranking(self, evidence: Evidence) -> Ranking:
        inputs = self.inputs
        return Ranking(
            evidence,
            inputs.artifact,
            engine=inputs.engine,
            threads=self.config.threads,
            exact=inputs.exact,
            context=self.context,
        )

    def _written(self, candidate: Candidate, path: Path) -> tuple[Candidate, Refit | None]:
        """Write a candidate's file, with the score threshold that keeps the operating point."""
        path.write_bytes(self.bytes_of(candidate.plan))
        if self.config.keep_threshold or self.ranking is None or not candidate.plan.nodes:
            return candidate, None
        refit = self.ranking.refit(path)
        if refit.threshold == refit.original:
            return candidate, refit
        plan = candidate.plan.model_copy(update={"score_threshold": refit.threshold})
        path.write_bytes(self.bytes_of(plan))
        return replace(candidate, plan=plan), refit

    def _make_judge(self) -> Judge:
        inputs, config = self.inputs, self.config
        images: Sequence[Path] = ()
        if self.evidence is not None:
            images = self.evidence.used
        elif inputs.images is not None:
            images = inputs.images.paths
        if inputs.data is None and not images:
            raise UsageError(
                "there are no images to judge the plan's model on",
                remedy="add --calibration DIR or --data DIR",
            )
        return Judge(
            inputs.artifact,
            inputs.spec,
            Gates(
                config.drop_gate, config.agreement_gate, config.speedup_gate, config.must_be_shown
            ),
            data=inputs.data,
            images=images,
            engine=inputs.engine,
            exact=inputs.exact,
            threads=config.threads,
            speed_seconds=config.speed_seconds if inputs.rules.here else None,
            context=self.context,
        )

    def _metadata(self, stage: str, decided: dict[str, object]) -> dict[str, str]:
        images, artifact = self.inputs.images, self.inputs.artifact
        step = Step(
            stage=stage,
            config=digest_key(decided=decided),
            data=None if images is None else images.digest,
            parents=(self.inputs.parent,),
            versions=_versions(),
        )
        return {
            SPEC_KEY: self.inputs.spec.dumps(),
            LINEAGE_KEY: dump_lineage([*artifact.lineage, step]),
        }


def _merit(judged: Judged) -> tuple[int, float]:
    """Sort key: fewest refusals last, then the most accurate last."""
    seen = judged.verdict.seen.accuracy
    value = seen.map if seen is not None else (judged.verdict.agreement or 0.0)
    return -len(judged.verdict.refused), value


def _versions() -> dict[str, str]:
    from edgecv_cli.core.version import __version__

    return {"edgecv": __version__, **engine_versions()}
