"""What every rewrite ends with."""

from __future__ import annotations

import onnx
import onnx_ir as ir
from onnx_ir.passes import common


def tidied(work: ir.Model) -> onnx.ModelProto:
    """Return a rewritten model without nodes that nothing reads, the others in their order."""
    passes = ir.passes.Sequential(common.RemoveUnusedNodesPass(), common.TopologicalSortPass())
    model: onnx.ModelProto = ir.to_proto(passes(work).model)
    return model
