"""``build.sh``: builds the engine with the trtexec that is found on the device."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from edgecv_cli.graph.tensorrt.target import Generation
from edgecv_cli.graph.tensorrt.trtexec import BuildSettings, Line

CACHE, FLOAT_MODEL = "calibration.cache", "model_float.onnx"
_DEVICE_CACHE = "calibration.device.cache"
_NAMES: dict[Generation, str] = {"8.6": "8", "10": "10", "11": "11"}


@dataclass(frozen=True)
class Script:
    """What a bundle's build.sh builds.

    Attributes:
        quantized: whether the graph holds Q/DQ.
        precision: the precision that was asked for; None: the graph's own.
        settings: how it is built.
        calibrated: whether there is a float graph with a calibration cache as well.
        refused: release to what its rules say against the model.
    """

    quantized: bool
    precision: str | None
    settings: BuildSettings
    calibrated: bool
    refused: Mapping[Generation, str]

    def text(self) -> str:
        """Return the script, for any POSIX shell."""
        dla = self.settings.dla_core is not None
        # DLA cores take no Q/DQ before TensorRT 11.
        way = "default" if self.calibrated and dla else "no"
        filled = {
            "@CALIBRATED@": way,
            "@DLA@": "yes" if dla else "no",
            "@REFUSED@": "\n".join(self._refused()),
            "@LINES@": "\n".join(self._lines()),
        }
        text = _template()
        for mark, words in filled.items():
            text = text.replace(mark, words)
        return text

    def line(self, generation: Generation, *, calibrated: bool = False) -> list[str]:
        """Return the words of one call, without the program's own name."""
        return Line(
            generation,
            self.quantized and not calibrated,
            self.precision,
            _DEVICE_CACHE if calibrated else None,
            FLOAT_MODEL if calibrated else "model.onnx",
            detailed=True,
            settings=self.settings,
        ).words()[1:]

    def _lines(self) -> list[str]:
        found = []
        for generation, name in _NAMES.items():
            found.append(f"{name}-no) set -- {shlex.join(self.line(generation))} ;;")
            if self.calibrated and generation != "11":
                words = self.line(generation, calibrated=True)
                found.append(f"{name}-yes) set -- {shlex.join(words)} ;;")
        return found

    def _refused(self) -> list[str]:
        return [
            f"{_NAMES[generation]}) fail {shlex.quote(why)} ;;"
            for generation, why in self.refused.items()
        ]


def _template() -> str:
    file = resources.files("edgecv_cli.stages.trt_bundle").joinpath("build.sh.in")
    return file.read_text(encoding="utf-8")
