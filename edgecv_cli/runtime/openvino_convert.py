"""From an ONNX file to OpenVINO's IR: a ``.xml`` that names layers and a ``.bin`` of weights.

Key/value strings go to ``rt_info/framework``, where OpenVINO's own frontend puts those of an
ONNX file. Source: docs.openvino.ai, ``openvino.save_model`` and ``Model.set_rt_info``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgecv_cli.core.errors import EngineError, ModelError
from edgecv_cli.core.files import sha256_file
from edgecv_cli.core.require import require
from edgecv_cli.runtime.openvino import told
from edgecv_cli.runtime.openvino_file import METADATA, WEIGHTS_KEY

_NO_RULE = re.compile(r"No conversion rule found for operations: (.+)")


def write_ir(
    model: Path,
    xml: Path,
    *,
    half: bool,
    fold: bool,
    shapes: Mapping[str, Sequence[int]],
    entries: Mapping[str, str],
) -> None:
    """Convert a model file, and write ``xml`` and the ``.bin`` beside it.

    The digest of the ``.bin`` is stored in the ``.xml``, so that two files that do not belong
    together are told apart. The same model and settings give the same bytes.

    Args:
        model: ONNX file, checked before.
        xml: where the result goes, with the ending ``.xml``.
        half: store float weights in 16 bits.
        fold: evaluate what depends on constants alone, which halves the ``.xml`` of most exports;
            of a quantized model it would turn integer weights into floats.
        shapes: new shapes by input name; -1 leaves an axis open.
        entries: key/value strings to store.

    Raises:
        MissingDependencyError: OpenVINO is not installed.
        ModelError: OpenVINO does not know an operator, or can't read the model.
        EngineError: what OpenVINO wrote is not the same twice.
    """
    ov = require("openvino", pip="openvino", why="convert-openvino")
    graph = _read(ov, model)
    if shapes:
        _reshape(graph, shapes, model)
    _name_by_place(graph)
    if fold:
        _fold(graph)
        _name_by_place(graph)
    for key, value in sorted(entries.items()):
        graph.set_rt_info(value, [METADATA, key])
    _save(ov, graph, xml, half=half)
    weights = sha256_file(xml.with_suffix(".bin"))
    graph.set_rt_info(weights, [METADATA, WEIGHTS_KEY])
    _save(ov, graph, xml, half=half)
    if sha256_file(xml.with_suffix(".bin")) != weights:
        raise EngineError(
            "OpenVINO wrote different weights for the same model",
            remedy="check the disk, and convert again",
        )


def _read(ov: Any, model: Path) -> Any:
    try:
        return ov.Core().read_model(model)
    except RuntimeError as error:
        unknown = _NO_RULE.search(str(error))
        if unknown is None:
            raise ModelError(
                f"OpenVINO can't convert '{model}': {told(error)}",
                remedy="export the model again with another opset, or simplify it with onnxsim",
            ) from error
        raise ModelError(
            f"OpenVINO has no operator for {_places(model, unknown[1])} of '{model}'",
            remedy="export the model without it (NMS plugins: without NMS inside), or run the "
            ".onnx with --engine onnxruntime",
        ) from error


def _places(model: Path, listed: str) -> str:
    """Name the nodes of the operators that OpenVINO lists as ``Op`` or ``domain.Op``."""
    import onnx

    names = [name.strip() for name in listed.split(",")]
    graph = onnx.load(str(model), load_external_data=False).graph
    said = []
    for name in names:
        nodes = [
            node.name or node.output[0]
            for node in graph.node
            if name in (node.op_type, f"{node.domain}.{node.op_type}")
        ]
        where = f" (node '{nodes[0]}'" if nodes else ""
        more = f" and {len(nodes) - 1} more" if len(nodes) > 1 else ""
        said.append(f"{name}{where}{more}{')' if nodes else ''}")
    return ", ".join(said)


def _reshape(graph: Any, shapes: Mapping[str, Sequence[int]], model: Path) -> None:
    try:
        graph.reshape({name: list(shape) for name, shape in shapes.items()})
    except RuntimeError as error:
        wanted = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        raise ModelError(
            f"OpenVINO can't fix '{model}' to {wanted}: {told(error)}",
            remedy="export the model at a fixed size, or give another --input-size",
        ) from error


def _fold(graph: Any) -> None:
    from openvino.passes import ConstantFolding, Manager

    manager = Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(graph)


def _name_by_place(graph: Any) -> None:
    """Name what the file names nothing: OpenVINO counts such nodes over the whole process."""
    for place, node in enumerate(graph.get_ordered_ops()):
        if node.get_friendly_name() == node.get_name():
            node.set_friendly_name(f"{node.get_type_name()}#{place}")


def _save(ov: Any, graph: Any, xml: Path, *, half: bool) -> None:
    try:
        ov.save_model(graph, xml, compress_to_fp16=half)
    except RuntimeError as error:
        raise EngineError(
            f"OpenVINO can't write '{xml.name}': {told(error)}",
            remedy="check that there is space left on the disk of the temporary folder",
        ) from error
