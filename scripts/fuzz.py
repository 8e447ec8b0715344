"""Feed damaged and hostile variants of detectors to edgecv for some minutes.

    python scripts/fuzz.py MODEL.onnx... [--minutes 10] [--seed 0]

Every variant is opened, digested, recognised and, where that works, run on a picture, in a child
process. A crash, a traceback, more than ten seconds or more than 2 GiB is a finding; the variants
that found something are kept. Exit code 1 if there was any.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

SECONDS = 10.0
MEMORY = 2 * 1024**3


def variant(base: bytes, seed: int) -> bytes:
    """Return one variant of a model: damaged bytes (even seeds) or hostile fields (odd ones)."""
    import mutations
    import onnx

    rng = random.Random(seed)
    if seed % 2:
        model = onnx.ModelProto.FromString(base)
        for _ in range(rng.randrange(1, 3)):
            rng.choice(mutations.FIELDS)(model, rng)
        return model.SerializeToString()
    data = bytearray(base)
    rng.choice(mutations.BYTES)(data, rng)
    return bytes(data)


def outcome(path: Path) -> str:
    """Do what `inspect` and `detect` do with a model; returns how that ended."""
    import numpy as np

    from edgecv_cli.artifact.artifact import Artifact
    from edgecv_cli.core.errors import EdgeCVError
    from edgecv_cli.inference.predictor import open_predictor

    stage = "opened"
    try:
        artifact = Artifact.open(path)
        artifact.content_digest  # noqa: B018 - reading it is the test
        stage = "read"
        spec = artifact.detector().spec
        stage = "recognised"
        predictor = open_predictor(artifact, spec, threads=1)
        predictor.predict(np.full((120, 160, 3), 114, np.uint8))
        predictor.close()
    except EdgeCVError as error:
        return f"{stage}: {error.kind}"
    return "ran"


def work(base: Path, folder: Path, first: int) -> None:
    """Child: variants of one model, a line of JSON each, until it is ended."""
    data, path = base.read_bytes(), folder / "variant.onnx"
    for seed in range(first, sys.maxsize):
        path.write_bytes(variant(data, seed))
        print(json.dumps({"seed": seed}), flush=True)
        started = time.monotonic()
        try:
            came = outcome(path)
        except Exception as error:  # noqa: BLE001 - a finding
            came = f"TRACEBACK {type(error).__name__}: {error}"[:300]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        seconds = time.monotonic() - started
        print(json.dumps({"came": came, "seconds": seconds, "peak": peak}), flush=True)
        if peak > MEMORY:
            return


class Fuzzer:
    """Runs children until the time is over and keeps what they stumbled over."""

    def __init__(self, folder: Path) -> None:
        self.came: Counter[str] = Counter()
        self.findings: list[str] = []
        self.slowest = 0.0
        self._folder = folder

    def run(self, base: Path, first: int, until: float) -> int:
        """Run one child on one model; returns the seed to go on with."""
        command = [sys.executable, "-X", "faulthandler", __file__, "--work", str(base),
                   str(self._folder), str(first)]  # fmt: skip
        errors = (self._folder / "stderr").open("w+b")
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        assert child.stdout is not None
        os.set_blocking(child.stdout.fileno(), False)
        seed, began, pending = first, time.monotonic(), b""
        while time.monotonic() < until:
            pending += child.stdout.read() or b""
            *lines, pending = pending.split(b"\n")
            for line in lines:
                entry = json.loads(line)
                began = time.monotonic()
                if "seed" in entry:
                    seed = entry["seed"]
                else:
                    self._note(base, seed, entry)
            if child.poll() is not None:
                if not pending and child.returncode:
                    self._keep(base, seed, f"child ended with {child.returncode}")
                break
            # the first case pays for the imports
            if time.monotonic() - began > SECONDS + (10 if seed == first else 2):
                self._keep(base, seed, "hangs")
                break
            time.sleep(0.02)
        child.kill()
        child.wait()
        errors.close()
        return seed + 1

    def _note(self, base: Path, seed: int, entry: dict[str, object]) -> None:
        came, seconds, peak = str(entry["came"]), float(str(entry["seconds"])), entry["peak"]
        self.came[came if not came.startswith("TRACEBACK") else "traceback"] += 1
        self.slowest = max(self.slowest, seconds)
        if came.startswith("TRACEBACK"):
            self._keep(base, seed, came)
        elif seconds > SECONDS:
            self._keep(base, seed, f"took {seconds:.1f} s")
        elif isinstance(peak, int) and peak > MEMORY:
            self._keep(base, seed, f"peak of {peak / 2**30:.2f} GiB")

    def _keep(self, base: Path, seed: int, what: str) -> None:
        kept = self._folder / f"{base.stem}-{seed}.onnx"
        shutil.copy(self._folder / "variant.onnx", kept)
        self.findings.append(f"{base.name} seed {seed}: {what} ({kept})")
        print(self.findings[-1], flush=True)


def main() -> int:
    """Parse the command line and fuzz."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    fuzzer = Fuzzer(Path(tempfile.mkdtemp(prefix="edgecv-fuzz-")))
    end = time.monotonic() + 60 * options.minutes
    seeds = dict.fromkeys(options.models, options.seed)
    while time.monotonic() < end:
        for base in options.models:
            turn = min(end, time.monotonic() + 60 * options.minutes / len(options.models) / 2)
            while time.monotonic() < turn - 1:
                seeds[base] = fuzzer.run(base, seeds[base], turn)
    count = sum(fuzzer.came.values())
    print(f"{count} variants, slowest {fuzzer.slowest:.1f} s, {len(fuzzer.findings)} findings")
    for came, times in fuzzer.came.most_common():
        print(f"{times:7} {came}")
    return 1 if fuzzer.findings else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    else:
        sys.exit(main())
