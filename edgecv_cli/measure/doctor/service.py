"""The child's half of ``edgecv doctor``: whatever may crash or hang when it is touched."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

Payload = dict[str, Any]
_SIDE = 64
_FRAMES = 4


class DoctorService:
    """Imports modules, asks engines and tries codecs; one small thing a call."""

    def call(self, method: str, payload: Payload) -> Payload:
        """Do one of the things in ``METHODS``.

        Raises:
            KeyError: it is none of them.
        """
        return METHODS[method](payload)


def _module(payload: Payload) -> Payload:
    """Import a module: its version, or why it can't be imported."""
    name = payload["name"]
    try:
        module = importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 - a broken package raises what it likes
        missing = isinstance(error, ModuleNotFoundError) and error.name == name
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return {"missing": missing, "problem": said}
    version = getattr(module, "__version__", None)
    return {"version": version if isinstance(version, str) else None}


def _engines(_payload: Payload) -> Payload:
    """Ask the engines that edgecv runs what they offer here."""
    from edgecv_cli.runtime.opening import ENGINES

    answers = {engine.name: engine.availability() for engine in ENGINES}
    return {
        name: {"available": answer.available, "devices": list(answer.devices)}
        for name, answer in answers.items()
    }


def _onnxruntime(_payload: Payload) -> Payload:
    """List ONNX Runtime's providers, and run one addition on the CPU."""
    import numpy as np
    from onnx import TensorProto, helper

    from edgecv_cli.core.require import require

    ort = require("onnxruntime", pip="onnxruntime", why="running ONNX models")
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "sum", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (answer,) = session.run(["y"], {"x": np.asarray([1, 2], np.float32)})
    return {"providers": ort.get_available_providers(), "ran": answer.tolist() == [2, 4]}


def _opencv(_payload: Payload) -> Payload:
    """Say how OpenCV was built: version, window toolkit, video backends, image codecs."""
    from edgecv_cli.media.opencv import opencv

    cv2 = opencv()
    registry = cv2.videoio_registry
    backends = [
        registry.getBackendName(b) for b in registry.getBackends() if registry.hasBackend(b)
    ]
    toolkit = getattr(cv2, "currentUIFramework", None)
    return {
        "version": cv2.__version__,
        "gui": (toolkit() if toolkit else "") or None,
        "backends": list(dict.fromkeys(backends)),
    }


def _image(payload: Payload) -> Payload:
    """Write and read back one picture in memory."""
    from edgecv_cli.media.opencv import opencv

    cv2 = opencv()
    try:
        written, data = cv2.imencode(payload["suffix"], _frame(0))
        read = cv2.imdecode(data, cv2.IMREAD_COLOR) if written else None
    except cv2.error:
        return {"works": False}
    return {"works": read is not None and read.shape == (_SIDE, _SIDE, 3)}


def _encoder(payload: Payload) -> Payload:
    """Write a few frames with an encoder and read them back."""
    from edgecv_cli.media.opencv import opencv

    cv2 = opencv()
    path = str(Path(payload["folder"]) / f"{payload['fourcc']}{payload['suffix']}")
    code = cv2.VideoWriter.fourcc(*payload["fourcc"])
    writer = cv2.VideoWriter(path, cv2.CAP_FFMPEG, code, 10.0, (_SIDE, _SIDE))
    if not writer.isOpened():
        return {"works": False, "problem": "does not open"}
    for index in range(_FRAMES):
        writer.write(_frame(index))
    writer.release()
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG)
    read, image = capture.read()
    capture.release()
    if not read or image.shape != (_SIDE, _SIDE, 3):
        return {"works": False, "problem": "opens, but what it writes can't be read back"}
    return {"works": True}


def _frame(index: int) -> Any:
    """Return a picture that differs from the next one: uint8 [64, 64, 3]."""
    import numpy as np

    image = np.zeros((_SIDE, _SIDE, 3), np.uint8)
    image[:, : 8 * (index + 1)] = (40, 120, 200)
    return image


METHODS: dict[str, Callable[[Payload], Payload]] = {
    "module": _module,
    "engines": _engines,
    "onnxruntime": _onnxruntime,
    "opencv": _opencv,
    "image": _image,
    "encoder": _encoder,
}
