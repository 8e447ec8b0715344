"""How good and how fast a candidate is, well enough to rank it: no labels, short timings."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from pathlib import Path

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.compress.quantization.evidence import Evidence
from edgecv_cli.compress.quantization.recipe import spread
from edgecv_cli.core.boxes import Detections
from edgecv_cli.core.context import Context
from edgecv_cli.core.store import digest_key
from edgecv_cli.inference.predictor import open_predictor
from edgecv_cli.measure.hardware import engine_versions, fingerprint
from edgecv_cli.measure.lane import BenchRow
from edgecv_cli.measure.latency import benchmark
from edgecv_cli.measure.operating_point import Refit, refit_profile, refit_threshold
from edgecv_cli.measure.self_map import Found, look, predict_profiles, self_map, truth_of
from edgecv_cli.media.dataset import Dataset
from edgecv_cli.media.images import digest_files

RANKING_IMAGES = 64


class Ranking:
    """Looks at candidates on the calibration images, and times them.

    What was looked at is kept in the context's store under the bytes of the model and of the
    images, so that a search that was interrupted goes on where it stopped. Timings are not.

    Args:
        evidence: its images and spec are used.
        original: what candidates are compared with.
        engine, threads: what runs them.
        exact: run integers as they are written, where this machine lacks the target's kernels.
        context: progress, cancellation, store.
    """

    def __init__(
        self,
        evidence: Evidence,
        original: Artifact,
        *,
        engine: str,
        threads: int | None,
        exact: bool,
        context: Context,
    ) -> None:
        self._evidence = evidence
        self._original = original
        self._engine = engine
        self._threads = threads
        self._exact = exact
        self._context = context
        self._paths = spread(evidence.used, RANKING_IMAGES)
        self._truth: Dataset | None = None
        self._wanted: list[Detections] | None = None
        self._images = digest_files(self._paths)

    @property
    def paths(self) -> Sequence[Path]:
        """The images that candidates are ranked on."""
        return self._paths

    def self_map(self, path: Path, name: str) -> float:
        """Return mAP50-95 (0..1) of a model file against what the original finds.

        Raises:
            DataError: the original finds nothing in these images.
        """
        key = self._key(path)
        kept = self._context.store.get(key)
        if kept is not None and len(kept) == struct.calcsize("<d"):
            return float(struct.unpack("<d", kept)[0])
        if self._truth is None:
            found = self._look(self._original.path, "original").plain
            self._truth = truth_of(self._paths, found, self._evidence.spec.classes)
        value = self_map(self._truth, self._look(path, name).scored)
        self._context.store.put(key, struct.pack("<d", value))
        return value

    def speedups(self, paths: Sequence[Path], seconds: float) -> list[float | None]:
        """Return time(original) / time(file) of each; None where a file can't be timed.

        Args:
            paths: model files.
            seconds: timed inference of each.
        """
        spec = self._evidence.spec
        size = spec.input.size
        rows = [
            BenchRow(path, self._engine, self._threads, spec, size)
            for path in (self._original.path, *paths)
        ]
        result = benchmark(rows, duration_s=seconds, context=self._context)
        ratios = {ratio.b: ratio.ratio for ratio in result.ratios}
        return [ratios.get(str(path)) for path in paths]

    def refit(self, path: Path) -> Refit:
        """Return the score threshold at which a model file works as the original does."""
        if self._wanted is None:
            self._wanted = self._read(self._original.path, "original")
        spec = self._evidence.spec
        found = self._read(path, "candidate")
        return refit_threshold(self._wanted, found, spec.score_threshold, seed=self._context.seed)

    def _read(self, path: Path, name: str) -> list[Detections]:
        spec = self._evidence.spec
        predictor = open_predictor(
            Artifact.open(path),
            spec,
            engine=self._engine,
            threads=self._threads,
            exact=self._exact,
        )
        try:
            profiles = (refit_profile(spec),)
            return predict_profiles(
                predictor, self._paths, profiles, self._context, name=f"threshold, {name}"
            )[0]
        finally:
            predictor.close()

    def _key(self, path: Path) -> str:
        return digest_key(
            kind="edgecv.rank/1",
            model=hashlib.sha256(path.read_bytes()).hexdigest(),
            original=self._original.content_digest,
            images=self._images,
            spec=json.loads(self._evidence.spec.model_dump_json()),
            engine=self._engine,
            exact=self._exact,
            versions=engine_versions(),
            # integer kernels of another instruction set may round and saturate otherwise
            machine=fingerprint(),
        )

    def _look(self, path: Path, name: str) -> Found:
        return look(
            Artifact.open(path),
            self._evidence.spec,
            self._paths,
            self._context,
            engine=self._engine,
            threads=self._threads,
            name=f"rank {name}",
            exact=self._exact,
        )
