"""Where, and in which types, networks are run in training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mode:
    """How networks are run in training.

    Attributes:
        half: convolutions and products of matrices in bfloat16, but for what ``Program.exact``
            names; weights and their gradients stay float32 (mixed precision: Micikevicius et al.
            2018, with a type whose range needs no scaling of the loss).
        device: ``cpu`` or ``cuda``.
    """

    half: bool = False
    device: str = "cpu"


PLAIN = Mode()
