"""What a step's answer depends on, as digests: the key that it is kept under."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.base import Config, Input, Output, mark_of, path_fields
from edgecv_cli.core.errors import ConfigError, DataError
from edgecv_cli.core.files import sha256_file
from edgecv_cli.core.store import digest_key
from edgecv_cli.core.version import __version__
from edgecv_cli.detector.recognise import load_spec_overrides
from edgecv_cli.inference.sources import open_sources
from edgecv_cli.measure.hardware import engine_versions, fingerprint
from edgecv_cli.media.dataset import open_dataset
from edgecv_cli.media.images import open_images
from edgecv_cli.media.layouts import find_layouts
from edgecv_cli.media.streams import live_address
from edgecv_cli.pipeline.stages import Stage

_LIBRARIES = ("numpy", "onnx", "onnx-ir", "onnxsim", "pycocotools", "opencv-python",
              "opencv-python-headless", "opencv-contrib-python",
              "opencv-contrib-python-headless")  # fmt: skip
_NEVER_COUNTS = frozenset({"force"})


class Key(BaseModel):
    """Everything that a step's answer depends on.

    Attributes:
        stage, version: what is done.
        settings: the settings that are no input; of an output only whether it is asked for.
        inputs: field to digest of the content that it names.
        versions: distribution name to version.
        machine: fingerprint of this machine, for what is measured; else None.
    """

    model_config = ConfigDict(frozen=True)

    stage: str
    version: int
    settings: dict[str, Any]
    inputs: dict[str, str]
    versions: dict[str, str]
    machine: str | None

    @property
    def digest(self) -> str:
        """The key itself, in hex."""
        return digest_key(**self.model_dump(mode="json"))

    def difference(self, before: Key) -> str:
        """Say in a few words what is not as it was ``before``; empty where nothing changed."""
        if (self.stage, self.version) != (before.stage, before.version):
            return "the stage changed"
        said = [
            _named("input changed", self.inputs, before.inputs),
            _named("config changed", self.settings, before.settings),
            _versions(self.versions, before.versions),
            "machine differs" if self.machine != before.machine else "",
        ]
        return "; ".join(part for part in said if part)


def _named(word: str, now: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    names = sorted(k for k in now.keys() | before.keys() if now.get(k) != before.get(k))
    return f"{word}: {', '.join(names)}" if names else ""


def _versions(now: Mapping[str, str], before: Mapping[str, str]) -> str:
    said = [
        f"{name} {before.get(name, 'absent')} -> {now.get(name, 'absent')}"
        for name in sorted(now.keys() | before.keys())
        if now.get(name) != before.get(name)
    ]
    return f"versions changed: {', '.join(said)}" if said else ""


def artifact_digest(path: Path) -> str:
    """Return a digest of a model file and of the external data that it points to.

    The content digest alone would leave out edgecv's own metadata: the detector spec and the
    lineage, which decide how the model is read and what a stage writes.

    Raises:
        ModelError: it can't be read.
    """
    artifact = Artifact.open(path)
    return digest_key(content=artifact.content_digest, file=artifact.sha256)


class Digests:
    """Digests of what steps read; each content is read once, however many steps name it."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], str] = {}

    def key(self, stage: Stage, config: Config, artifacts: Sequence[str]) -> Key:
        """Return a step's key.

        Args:
            stage: what is done.
            config: its settings, with paths that can be opened.
            artifacts: digests of the artifacts it takes, in order.

        Raises:
            EdgeCVError: an input can't be read.
        """
        inputs = {stage.takes: ",".join(artifacts), **self.inputs(stage, config)}
        threads = getattr(config, "threads", None)
        return Key(
            stage=stage.name,
            version=stage.version,
            settings=_settings(stage, config),
            inputs=inputs,
            versions=_installed(),
            machine=fingerprint(threads) if stage.holds_here_alone(config) else None,
        )

    def inputs(self, stage: Stage, config: Config) -> dict[str, str]:
        """Return the digests of all inputs but the artifacts, by field.

        Raises:
            EdgeCVError: one can't be read.
        """
        found = {}
        for name in _input_fields(type(config)) - {stage.takes}:
            value = getattr(config, name)
            if value is not None:
                mark = mark_of(type(config).model_fields[name], Input) or Input("file")
                limit = getattr(config, mark.limit) if mark.limit else None
                found[name] = self._digest(mark.kind, value, limit)
        return found

    def _digest(self, kind: str, value: Any, limit: int | None) -> str:
        place = (kind, value, limit)
        if place not in self._known:
            self._known[place] = _READERS[kind](value, limit)
        return self._known[place]


def _input_fields(config: type[Config]) -> frozenset[str]:
    """Return the fields that are read: those marked so, and every path that is not an output."""
    fields = config.model_fields
    written = {name for name, info in fields.items() if mark_of(info, Output)}
    marked = {name for name, info in fields.items() if mark_of(info, Input)}
    return frozenset(marked | (path_fields(config) - written))


def _settings(stage: Stage, config: Config) -> dict[str, Any]:
    """Return what decides the answer beside the inputs, as JSON knows it."""
    fields = type(config).model_fields
    outputs = {name for name, info in fields.items() if mark_of(info, Output)}
    read = _input_fields(type(config)) | _NEVER_COUNTS
    plain = config.model_dump(mode="json", exclude=set(read) | outputs)
    asked: dict[str, Any] = {name: getattr(config, name) is not None for name in outputs}
    if stage.gives == "artifact":
        asked["output"] = True  # it is always made; where it is published is another matter
    output = getattr(config, "output", None)
    if stage.gives == "folder" and output is not None and not stage.makes_folder(output):
        asked["output"] = "file"
    return plain | asked


def _spec(path: Path, limit: int | None) -> str:  # noqa: ARG001 - as the other readers
    classes = load_spec_overrides(path).get("classes") or ()  # may stand in a file of their own
    return digest_key(file=sha256_file(path), classes=[str(name) for name in classes])


def _sources(sources: Sequence[str], limit: int | None) -> str:  # noqa: ARG001
    for address in map(live_address, sources):
        if address is not None:
            raise ConfigError(
                f"{address.shown} is live, and run keeps results of what stays as it is",
                remedy="give it to edgecv detect, and files to edgecv run",
            )
    # results name each source by its path, and a video may be of any size
    return digest_key(
        files=[(str(path), _file(path, None)) for path in open_sources(sources).paths]
    )


def _probed(path: Path, limit: int | None) -> str:
    try:
        find_layouts(path)
    except DataError:  # no labels: the images alone decide
        return open_images(path, limit).digest
    return open_dataset(path, limit=limit).digest


def _file(path: Path, limit: int | None) -> str:  # noqa: ARG001
    if not path.is_file():
        raise ConfigError(f"{path} is not a file", remedy="give the path of a file that exists")
    return sha256_file(path)


_READERS: dict[str, Callable[[Any, int | None], str]] = {
    "artifact": lambda path, limit: artifact_digest(path),  # noqa: ARG005
    "dataset": lambda path, limit: open_dataset(path, limit=limit).digest,
    "images": lambda path, limit: open_images(path, limit).digest,
    "spec": _spec,
    "sources": _sources,
    "probed": _probed,
    "file": _file,
}


@cache
def _installed() -> dict[str, str]:
    found = {"edgecv": __version__, **engine_versions()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
