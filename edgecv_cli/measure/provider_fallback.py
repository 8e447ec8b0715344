"""Whether a model ran where it was asked to: as a whole, and operator by operator."""

from __future__ import annotations

from collections.abc import Sequence

from edgecv_cli.runtime.operators import OperatorTime


def ran_elsewhere(engine: str, provider: str) -> str | None:
    """Say so if an engine reports another device than the one it was asked for.

    Args:
        engine: as ``--engine`` takes it; without a device, the processor is meant.
        provider: what ran, as the engine reports it: ``CPUExecutionProvider``, ``GPU.0``.
    """
    asked = _device(engine)
    if _is_on(provider, asked):
        return None
    return f"{asked} was asked for, and it ran on {provider}"


def elsewhere(engine: str, operators: Sequence[OperatorTime]) -> str | None:
    """Say how much of a model ran on another device than the one that was asked for, if any."""
    asked = _device(engine)
    away = [one for one in operators if not _is_on(one.provider, asked)]
    if not away:
        return None
    share = sum(one.ns[0] for one in away) / (sum(one.ns[0] for one in operators) or 1.0)
    where = ", ".join(sorted({one.provider for one in away}))
    kinds = ", ".join(sorted({one.kind for one in away})[:3])
    return (
        f"{len(away)} of {len(operators)} operators, {share:.0%} of the time, ran on {where} "
        f"and not on {asked}: {kinds}"
    )


def _device(engine: str) -> str:
    return engine.partition(":")[2].partition(":")[0].lower() or "cpu"


def _is_on(provider: str, device: str) -> bool:
    """Whether an engine's name of a provider begins with that of the device."""
    return provider.lower().startswith(device)
