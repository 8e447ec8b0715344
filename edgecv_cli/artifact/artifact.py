"""Artifact: a model file, its digests, its facts and the detector that it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecv_cli.artifact.lineage import Step, read_lineage
from edgecv_cli.core.errors import ModelError
from edgecv_cli.core.files import sha256_file

if TYPE_CHECKING:
    import onnx

    from edgecv_cli.detector.recognise import Recognised
    from edgecv_cli.graph.facts import GraphFacts

FORMATS = {
    ".onnx": "onnx",
    ".xml": "openvino",
    ".tflite": "litert",
    ".engine": "tensorrt",
    ".mlpackage": "coreml",
}


def weights_beside(path: Path) -> Path | None:
    """Return the file that a model's format has its weights in; None if they are in the model.

    An ONNX model's external data is not meant: the model itself names it.
    """
    if FORMATS.get(path.suffix.lower()) != "openvino":
        return None
    from edgecv_cli.graph.openvino_ir import weights_file

    return weights_file(path)


@dataclass(frozen=True)
class Artifact:
    """A model file on disk; what is expensive to know is read when asked for."""

    path: Path
    format: str

    @classmethod
    def open(cls, path: Path) -> Artifact:
        """Take a model file.

        Raises:
            ModelError: the file is not there, or its ending names no known format.
        """
        if not path.exists():
            raise ModelError(f"'{path}' does not exist", remedy="check the path of the model")
        kind = FORMATS.get(path.suffix.lower())
        if kind is None:
            raise ModelError(
                f"'{path}' is not a model file that edgecv reads",
                remedy=f"give a file that ends in {', '.join(sorted(FORMATS))}",
            )
        return cls(path, kind)

    @cached_property
    def size_bytes(self) -> int:
        """Bytes of the file itself; of an OpenVINO model with the weights beside it."""
        if self.format == "coreml":
            from edgecv_cli.graph.coreml_package import package_files

            return sum(part.stat().st_size for part in package_files(self.path))
        beside = weights_beside(self.path)
        return sum(part.stat().st_size for part in (self.path, beside) if part and part.is_file())

    @cached_property
    def sha256(self) -> str:
        """Digest of the file's bytes; of a Core ML package, of all its files and their names."""
        if self.format == "coreml":
            from edgecv_cli.graph.coreml_package import package_digest

            return package_digest(self.path)
        return sha256_file(self.path)

    @cached_property
    def model(self) -> onnx.ModelProto:
        """The model in memory, checked; treat it as read-only.

        Raises:
            ModelError: it can't be read, or is no ONNX model.
        """
        from edgecv_cli.graph.io import load_model

        if self.format != "onnx":
            raise ModelError(
                f"'{self.path}' is no ONNX model, and this looks into the graph",
                remedy="give the .onnx file that it was made from",
            )
        return load_model(self.path)

    @cached_property
    def content_digest(self) -> str:
        """Digest of the model without edgecv's metadata; external data counts by its bytes."""
        if self.format == "openvino":
            from edgecv_cli.graph.openvino_ir import ir_digest

            return ir_digest(self.path)
        if self.format == "litert":
            from edgecv_cli.graph.litert_bundle import bundle_digest

            return bundle_digest(self.path)
        if self.format in ("tensorrt", "coreml"):
            return self.sha256
        from edgecv_cli.graph.io import content_digest

        return content_digest(self.model)

    @cached_property
    def metadata(self) -> Mapping[str, str]:
        """Key/value strings stored in the model."""
        if self.format != "onnx":
            return self.facts().metadata
        from edgecv_cli.graph.io import read_metadata

        return read_metadata(self.model)

    @cached_property
    def lineage(self) -> tuple[Step, ...]:
        """The steps that made this file, oldest first."""
        return read_lineage(dict(self.metadata), str(self.path))

    def facts(self, input_size: tuple[int, int] | None = None) -> GraphFacts:
        """Return the graph's facts at an image size ([height, width]; None: as fixed)."""
        if input_size not in self._facts:
            self._facts[input_size] = self._read_facts(input_size)
        return self._facts[input_size]

    def _read_facts(self, input_size: tuple[int, int] | None) -> GraphFacts:
        if self.format == "openvino":
            from edgecv_cli.graph.openvino_ir import read_ir

            return read_ir(self.path, input_size=input_size)
        if self.format == "litert":
            from edgecv_cli.graph.litert_facts import read_litert

            return read_litert(self.path, input_size=input_size)
        if self.format == "coreml":
            from edgecv_cli.graph.coreml_facts import read_coreml

            return read_coreml(self.path, input_size=input_size)
        if self.format == "tensorrt":
            from edgecv_cli.artifact.engine_file import read_engine

            return read_engine(self.path, self.sha256)
        from edgecv_cli.graph.inspect import read_facts

        return read_facts(self.model, input_size=input_size)

    @cached_property
    def _facts(self) -> dict[tuple[int, int] | None, GraphFacts]:
        return {}

    def detector(
        self, spec_file: Path | None = None, *, input_size: tuple[int, int] | None = None
    ) -> Recognised:
        """Work out how this detector is fed and read.

        Args:
            spec_file: YAML whose keys override metadata and graph.
            input_size: [height, width] for a graph that takes any size.

        Raises:
            UnrecognisedError: the layout is unknown or open.
            ConfigError: the spec file can't be read.
        """
        from edgecv_cli.detector.recognise import load_spec_overrides, recognise

        override: Mapping[str, Any] = {}
        if spec_file is not None:
            override = load_spec_overrides(spec_file)
        size = input_size or override.get("input", {}).get("size")
        return recognise(self.facts(None if size is None else tuple(size)), override=override)
