"""Is an artifact used as it was meant: on its kind of machine, and read as its graph answers?"""

from __future__ import annotations

import platform

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.artifact.lineage import TARGET_KEY
from edgecv_cli.detector.recognise import Recognised
from edgecv_cli.measure.hardware import has_vnni


def misfit(artifact: Artifact) -> str | None:
    """Return a warning if the artifact needs instructions that this machine lacks, else None.

    Full-range int8 weights want VNNI: without it, x86 kernels add pairs of products in 16 bits,
    which saturate, and the detector silently finds less.
    """
    x86 = platform.machine().lower() in {"x86_64", "amd64"}
    if artifact.metadata.get(TARGET_KEY) != "cpu-x86-vnni" or has_vnni() or not x86:
        return None
    return (
        f"'{artifact.path.name}' was made for x86 with VNNI, which this machine lacks: its int8 "
        "sums saturate here and accuracy suffers; quantize with --target cpu-x86 for it"
    )


def warnings_of(artifact: Artifact, recognised: Recognised) -> tuple[str, ...]:
    """Return what a user should know before trusting what the artifact finds here."""
    machine = misfit(artifact)
    told = tuple(f"--spec is followed, but {doubt}" for doubt in recognised.doubts)
    return told if machine is None else (machine, *told)
