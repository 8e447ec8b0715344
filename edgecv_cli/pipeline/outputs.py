"""Where a pipeline's outputs go: checked before the work, and published after each step."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from edgecv_cli.artifact.artifact import weights_beside
from edgecv_cli.artifact.sidecar import sidecar_path
from edgecv_cli.config.base import Input, mark_of, path_fields
from edgecv_cli.core.errors import ConfigError, EdgeCVError, OutputExistsError
from edgecv_cli.core.files import Publication, sha256_file, writing
from edgecv_cli.graph.coreml_package import require_package_place
from edgecv_cli.pipeline.read import Pipeline


@dataclass(frozen=True)
class Content:
    """Bytes that are fetched when they are needed."""

    sha256: str
    read: Callable[[], bytes]

    @classmethod
    def of(cls, text: str) -> Content:
        """Return text as UTF-8."""
        data = text.encode()
        return cls(hashlib.sha256(data).hexdigest(), lambda: data)


@dataclass(frozen=True)
class Delivery:
    """One output and what shall stand there.

    Attributes:
        path: the file or folder.
        files: content by path below ``path``; the empty name is ``path`` itself.
        beside: content of files next to it, by name.
        package: it is a folder that is one thing, and is replaced as a whole.
    """

    path: Path
    files: Mapping[str, Content]
    beside: Mapping[str, Content] = field(default_factory=dict)
    package: bool = False

    @property
    def expected(self) -> dict[Path, str]:
        """Every file that it makes, with its sha256."""
        below = {self.path / name if name else self.path: c for name, c in self.files.items()}
        beside = {self.path.with_name(name): content for name, content in self.beside.items()}
        return {path: content.sha256 for path, content in (below | beside).items()}

    def publish(self, *, force: bool) -> None:
        """Put it in place, whole; where it stands already, byte for byte, nothing is done.

        Raises:
            OutputExistsError: something else stands there and ``force`` is not given.
            OutputError: it can't be written.
        """
        expected = self.expected
        stands = all(path.is_file() and sha256_file(path) == sha for path, sha in expected.items())
        if stands and not (self.package and _files_below(self.path) - expected.keys()):
            return
        refuse_taken(self.path, expected, force=force)
        if self.package:
            require_package_place(self.path)
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with Publication(self.path, force=True, whole=self.package) as out:
            for name, content in self.files.items():
                place = out.folder() / name if name else out.main
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content.read())
            for name, content in self.beside.items():
                out.part(name).write_bytes(content.read())
            out.commit()


def _files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.is_dir()}


def refuse_taken(path: Path, expected: Mapping[Path, str], *, force: bool) -> None:
    """Refuse an output that holds anything else than what is expected to stand there.

    What an interrupted run has published already is no obstacle to running it again.

    Raises:
        OutputExistsError: it does, and ``force`` is not given.
    """
    standing = [path, *_companions(path)]
    if path.is_dir():
        standing += [entry for entry in path.rglob("*") if not entry.is_dir()]
        standing.remove(path)
    for file in standing:
        if force or not os.path.lexists(file):
            continue
        if file not in expected or not file.is_file() or sha256_file(file) != expected[file]:
            raise OutputExistsError(
                f"{file} exists already", remedy="name another output, or replace it with --force"
            )


def _companions(path: Path) -> list[Path]:
    """Return where what belongs to an artifact stands beside it."""
    weights = weights_beside(path)
    return [sidecar_path(path), *([weights] if weights else [])]


def check_places(pipeline: Pipeline, report: Path | None) -> None:
    """Refuse outputs that are in each other's way, are inputs, or can't be written.

    Raises:
        ConfigError: naming the step and the path.
    """
    taken: dict[Path, str] = {}
    inputs = _inputs(pipeline)
    for step in pipeline.steps:
        where = f"{pipeline.file}: step {step.id}"
        for path in step.places:
            is_folder = path == step.outputs.get("output") and step.stage.makes_folder(path)
            _check_place(path, inputs, where, is_folder=is_folder)
            _claim(path, taken, where, step.id)
    if report is not None:
        _check_place(report, inputs, "--report", is_folder=False)
        _claim(report, taken, "--report", "--report")


def _claim(path: Path, taken: dict[Path, str], where: str, owner: str) -> None:
    mine = path.resolve()
    places = [mine, *_companions(mine)]
    for other, name in taken.items():
        if other in places or mine.is_relative_to(other) or other.is_relative_to(mine):
            raise ConfigError(
                f"{where}: {path} is also where {_who(name, owner)} publishes",
                remedy="give every output a place of its own",
            )
    taken |= dict.fromkeys(places, owner)


def _who(name: str, owner: str) -> str:
    return "another output of this step" if name == owner else f"step {name}"


def _check_place(path: Path, inputs: Sequence[Path], where: str, *, is_folder: bool) -> None:
    base = path.absolute().parent
    while not os.path.lexists(base):
        base = base.parent
    try:
        with writing(path), suppress(FileNotFoundError, NotADirectoryError):
            sidecar_path(path).lstat()  # a name that is too long must not be found out at the end
        if path.exists() and path.is_dir() != is_folder:
            kind = "a folder" if is_folder else "a file"
            raise OutputExistsError(
                f"{path} stands already and is not {kind}", remedy="name another output"
            )
        # Folders that are missing are made; the check is then about the one they are made in.
        at = path if base == path.absolute().parent else base / path.name
        # what is not there yet is no input, whatever stands above it by that name
        Publication(at, force=True, inputs=inputs if at == path else ())
    except EdgeCVError as error:
        raise ConfigError(f"{where}: {error.problem}", remedy=error.remedy) from error


def _inputs(pipeline: Pipeline) -> list[Path]:
    """Return every file and folder that the pipeline reads."""
    found = [pipeline.file, pipeline.model]
    for step in pipeline.steps:
        fields = type(step.config).model_fields
        for name in path_fields(type(step.config)) - {step.stage.takes}:
            value = getattr(step.config, name)
            if value is not None and mark_of(fields[name], Input):
                found.append(value)
    return found
