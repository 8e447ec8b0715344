"""From a command's settings to a job for a device, and the files that go with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecv_cli.artifact.artifact import Artifact
from edgecv_cli.config.base import Input as InputMark
from edgecv_cli.config.base import Output as OutputMark
from edgecv_cli.config.base import mark_of, path_fields
from edgecv_cli.core.errors import UsageError
from edgecv_cli.core.files import sha256_file, writing
from edgecv_cli.detector.recognise import load_spec_overrides
from edgecv_cli.media.dataset import open_dataset
from edgecv_cli.pipeline.fleet.job import FileRef, Job, Parcel
from edgecv_cli.pipeline.fleet.labelled import labelled_files

if TYPE_CHECKING:
    from edgecv_cli.config.benchmark import BenchmarkConfig
    from edgecv_cli.config.fleet import Device

_HOST_ALONE = frozenset(
    {"force", "fail_if", "compare", "cross_machine", "strict", "label", "devices"}
)
"""What the host does, to choose devices and to judge their answers."""
_SENT = frozenset({"models", "spec", "data"})


@dataclass(frozen=True)
class Packed:
    """What every device gets.

    Attributes:
        parcels: the inputs, by digest.
        files: digest to where the file stands here.
        arguments: the settings that name no file.
    """

    parcels: tuple[Parcel, ...]
    files: Mapping[str, Path]
    arguments: dict[str, Any]

    def job(self, device: Device) -> Job:
        """Return the job for a device, with what its entry says in place of ours."""
        own = {
            name: value
            for name in ("engine", "threads", "affinity")
            if (value := device.model_dump(mode="json")[name])
        }
        return Job(
            function="benchmark",
            arguments=self.arguments | own,
            parcels=self.parcels,
            wait_seconds=device.wait,
        )


def pack_benchmark(config: BenchmarkConfig, scratch: Path) -> Packed:
    """Prepare a benchmark for devices; each file is read once, for its digest.

    Args:
        config: what was asked for.
        scratch: folder for what is made for the devices; has to stay while they run.

    Raises:
        ModelError: a model can't be read, or its weights are missing.
        DataError: the labelled images can't be read, or can't be sent.
        ConfigError: the spec can't be read.
        UsageError: it names files that devices are not sent.
    """
    _refuse_other_files(config)
    files: dict[str, Path] = {}
    parcels = [_parcel("models", str(path), _model_files(path), files) for path in config.models]
    if config.spec is not None:
        resolved = scratch / "spec.yaml"  # JSON is YAML; the classes' own file is in it by now
        with writing(resolved):
            resolved.write_text(json.dumps(load_spec_overrides(config.spec)), encoding="utf-8")
        parcels.append(_parcel("spec", str(config.spec), [(resolved.name, resolved)], files))
    if config.data is not None:
        dataset = open_dataset(config.data, limit=config.limit)
        named = labelled_files(dataset, scratch)
        parcels.append(_parcel("data", str(config.data), named, files))
    fields = type(config).model_fields
    written = {name for name, info in fields.items() if mark_of(info, OutputMark)}
    kept_here = written | path_fields(type(config)) | _HOST_ALONE
    arguments = config.model_dump(mode="json", exclude=set(kept_here), exclude_none=True)
    return Packed(tuple(parcels), files, arguments)


def _refuse_other_files(config: BenchmarkConfig) -> None:
    """Refuse inputs that would be left out silently."""
    for name, info in type(config).model_fields.items():
        named = mark_of(info, InputMark) is not None and getattr(config, name) is not None
        if named and name not in _SENT | _HOST_ALONE:
            raise UsageError(
                f"what {config.option_name(name)} names is not sent to devices",
                remedy="leave it out with --devices, or run edgecv benchmark on the device",
            )


def _model_files(path: Path) -> list[tuple[str, Path]]:
    """Return names and places of a model's files, the model itself first."""
    artifact = Artifact.open(path)
    if artifact.format == "openvino":
        weights = path.with_suffix(".bin")
        beside = [weights.name] if weights.is_file() else []
    else:
        from edgecv_cli.graph.io import external_files

        beside = list(external_files(path))
    return [(path.name, path), *((name, path.parent / name) for name in beside)]


def _parcel(
    field: str, shown: str, named: Sequence[tuple[str, Path]], files: dict[str, Path]
) -> Parcel:
    refs = []
    for name, path in named:
        digest = sha256_file(path)
        files[digest] = path
        refs.append(FileRef(name=name, sha256=digest, size_bytes=path.stat().st_size))
    return Parcel(field=field, shown=shown, files=tuple(refs))
