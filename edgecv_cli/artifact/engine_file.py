"""What is known of an engine of TensorRT: its file says nothing, the sidecar beside it does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgecv_cli.artifact.lineage import LINEAGE_KEY, SPEC_KEY
from edgecv_cli.artifact.sidecar import read_sidecar, sidecar_path
from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.tensors import TensorSpec
from edgecv_cli.graph.facts import GraphFacts

INTERFACE = "interface"
_REMEDY = "take the engine with the file beside it, as convert-trt has written them"
_MOST = 256


class _Tensor(BaseModel):
    name: str
    shape: tuple[int | None, ...] = Field(max_length=8)
    dtype: str


class _Interface(BaseModel):
    """What a sidecar holds of the model that an engine was built of."""

    model_config = ConfigDict(extra="ignore")

    inputs: tuple[_Tensor, ...] = Field(min_length=1, max_length=_MOST)
    outputs: tuple[_Tensor, ...] = Field(min_length=1, max_length=_MOST)
    input_size: tuple[int, int] | None = None
    opset: int
    precision: str
    parameters: int
    macs: int | None = None
    op_counts: dict[str, int]


def interface_of(facts: GraphFacts) -> dict[str, Any]:
    """Return what a sidecar keeps of a model's facts, as JSON has it."""
    held = _Interface(
        inputs=tuple(_Tensor(**vars(tensor)) for tensor in facts.inputs),
        outputs=tuple(_Tensor(**vars(tensor)) for tensor in facts.outputs),
        input_size=facts.input_size,
        opset=facts.opset,
        precision=facts.precision,
        parameters=facts.parameters,
        macs=facts.macs,
        op_counts=dict(facts.op_counts),
    )
    return held.model_dump(mode="json", exclude_none=True)


def read_engine(path: Path, sha256: str) -> GraphFacts:
    """Return the facts that the sidecar of an engine holds.

    Args:
        path: the engine.
        sha256: of its bytes.

    Raises:
        ModelError: there is no sidecar, it speaks of another file, or it lacks something.
    """
    said = read_sidecar(path, sha256)
    if said is None:
        raise ModelError(
            f"'{path}' is an engine, which says nothing of itself, and '{sidecar_path(path).name}' "
            "is not beside it",
            remedy=_REMEDY,
        )
    try:
        held = _Interface.model_validate(said.get(INTERFACE))
    except ValidationError as error:
        raise ModelError(
            f"sidecar '{sidecar_path(path)}' does not say what the engine takes and gives",
            remedy="build the engine again with this edgecv",
        ) from error
    return GraphFacts(
        inputs=tuple(TensorSpec(one.name, one.shape, one.dtype) for one in held.inputs),
        outputs=tuple(TensorSpec(one.name, one.shape, one.dtype) for one in held.outputs),
        input_size=held.input_size,
        opset=held.opset,
        precision=held.precision,
        parameters=held.parameters,
        macs=held.macs,
        op_counts=held.op_counts,
        metadata=_metadata(said),
        tail=None,
        tail_problem="an engine's decoding is not looked into",
    )


def _metadata(said: Mapping[str, Any]) -> dict[str, str]:
    """Return the entries that the model had which the engine was built of."""
    import json

    found = {}
    if isinstance(said.get("spec"), str):
        found[SPEC_KEY] = said["spec"]
    if isinstance(said.get("provenance"), list):
        found[LINEAGE_KEY] = json.dumps(said["provenance"], sort_keys=True, separators=(",", ":"))
    return found
