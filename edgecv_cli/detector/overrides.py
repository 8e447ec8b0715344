"""What a user says of a detector: a spec file whose keys override everything found."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgecv_cli.core.errors import ConfigError
from edgecv_cli.detector.anchors import Anchors, read_anchors
from edgecv_cli.detector.classes import BACKGROUND, PRESETS
from edgecv_cli.detector.metadata import printable
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputTensor

_MAX_BYTES = 1_000_000
_MAX_DEPTH = 8
_KEYS = {
    "": frozenset(DetectorSpec.model_fields) - {"version"},
    "input": frozenset(InputSpec.model_fields),
    "outputs": frozenset({"all", "boxes", "scores", "objectness", "layout", "tensors"}),
}


def load_spec_overrides(path: Path) -> Mapping[str, Any]:
    """Read a detector spec file.

    Returns:
        The keys that it sets; ``classes`` is resolved to a tuple of names.

    Raises:
        ConfigError: it is no YAML mapping, or has a key or class list that is not known.
    """
    import yaml

    text = _read(path)
    try:
        _check_shape(yaml.parse(text, yaml.SafeLoader), path)
        value = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"'{path}' is not YAML: {line}", remedy="correct it; `family: yolox` is a whole spec"
        ) from error
    if not isinstance(value, dict):
        raise ConfigError(f"'{path}' holds no keys", remedy="write lines such as `family: yolox`")
    _check_keys(value, path)
    if isinstance(value.get("classes"), str):
        value["classes"] = _named_classes(value["classes"], path)
    return value


def apply_overrides(spec: DetectorSpec, override: Mapping[str, Any]) -> DetectorSpec:
    """Return the spec with the user's keys in place of its own.

    Raises:
        ConfigError: a value makes no sense, or the class names are too few or too many.
    """
    merged = spec.model_dump()
    for key, value in override.items():
        if key == "outputs":
            merged[key] = renamed_outputs(spec, value)
            continue
        both = isinstance(value, Mapping) and isinstance(merged.get(key), dict)
        merged[key] = {**merged[key], **value} if both else value
    if "anchors" in override:
        merged["anchors"] = _anchors(override["anchors"], merged)
    if "classes" in override:
        merged["classes"] = _fitting_classes(override["classes"], spec, merged.get("background"))
    try:
        return DetectorSpec.model_validate(merged)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "spec"
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(
            f"detector spec, {key}: {message[:1].lower()}{message[1:]}",
            remedy=f"correct `{key}` in --spec",
        ) from error


def renamed_outputs(spec: DetectorSpec, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a family's outputs under the names that the user gives.

    Raises:
        ConfigError: the family has no such output, or several that share the role.
    """
    if "tensors" in told:
        return {"tensors": told["tensors"]}
    tensors = list(spec.outputs.tensors)
    layout = tuple(told.get("layout", ()))
    for role, name in told.items():
        if role == "layout":
            continue
        found = [index for index, tensor in enumerate(tensors) if _plays(tensor, role)]
        if len(found) != 1:
            have = ", ".join(f"{tensor.name} ({'+'.join(tensor.holds)})" for tensor in tensors)
            raise ConfigError(
                f"detector spec, outputs.{role}: family {spec.family} reads {have}",
                remedy="write `family: generic` into --spec to say every output yourself",
            )
        tensors[found[0]] = tensors[found[0]].model_copy(update={"name": name})
    if layout and len(tensors) == 1:
        tensors[0] = tensors[0].model_copy(update={"holds": layout})
    return {"tensors": [tensor.model_dump() for tensor in tensors]}


def _anchors(value: Any, merged: Mapping[str, Any]) -> Anchors:
    strides = merged.get("strides")
    try:
        return read_anchors(value, len(strides) if isinstance(strides, list | tuple) else 0)
    except ValueError as error:
        raise ConfigError(
            f"detector spec, anchors: {error}",
            remedy="give `anchors: yolov5`, or one row of [width, height] pairs per stride",
        ) from error


def _plays(tensor: OutputTensor, role: str) -> bool:
    return len(tensor.holds) > 1 if role == "all" else tensor.holds == (role,)


def overridden(override: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """Yield the keys that are set, those of ``input`` and ``outputs`` with a dot."""
    for key, value in override.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}.{inner}", entry) for inner, entry in value.items())
        else:
            yield key, value


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(f"'{path}' is over 1 MB", remedy="give a detector spec in YAML")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"'{path}' can't be read: {error.strerror}", remedy="check the path after --spec"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"'{path}' is no text in UTF-8", remedy="give a detector spec in YAML"
        ) from error


def _check_shape(events: Iterable[Any], path: Path) -> None:
    """Refuse aliases and deep nesting, which make a small file costly to load."""
    import yaml

    depth = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(f"'{path}' uses YAML aliases", remedy="write the values out")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise ConfigError(f"'{path}' is nested too deeply", remedy="give a detector spec")


def _check_keys(value: Mapping[Any, Any], path: Path) -> None:
    for group, known in _KEYS.items():
        part = value.get(group, {}) if group else value
        if not isinstance(part, dict):
            raise ConfigError(
                f"'{path}': `{group}` must hold keys",
                remedy=f"write `{group}: {{{sorted(known)[0]}: ...}}`",
            )
        for key in part:
            if key not in known:
                raise _unknown_key(f"{group}.{key}" if group else str(key), str(key), known, path)


def _unknown_key(shown: str, key: str, known: Iterable[str], path: Path) -> ConfigError:
    nearest = difflib.get_close_matches(key, list(known), n=1)
    remedy = f"did you mean `{nearest[0]}`?" if nearest else f"known: {', '.join(sorted(known))}"
    return ConfigError(f"'{path}': unknown key `{shown}`", remedy=remedy)


def _named_classes(name: str, path: Path) -> tuple[str, ...]:
    """Resolve a preset, or a file of names, one a line, beside the spec file."""
    if name in PRESETS:
        return PRESETS[name]
    file = path.parent / name
    if not file.is_file():
        nearest = difflib.get_close_matches(name, list(PRESETS), n=1)
        remedy = f"did you mean `{nearest[0]}`?" if nearest else "give coco80, coco91 or a list"
        raise ConfigError(f"'{path}': no class list or file '{name}'", remedy=remedy)
    names = [line.strip() for line in _read(file).splitlines()]
    return tuple(name for name in names if name)


def _fitting_classes(value: Any, spec: DetectorSpec, background: int | None) -> tuple[str, ...]:
    given: Any = PRESETS.get(value, value) if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(isinstance(name, str) for name in given):
        raise ConfigError(
            "detector spec, classes: neither coco80, coco91 nor a list of names",
            remedy="correct `classes` in --spec; quote names such as 'yes' and '1'",
        )
    names: tuple[str, ...] = tuple(printable(name) for name in given)
    expected = len(spec.classes)
    if background is not None and len(names) == expected - 1:
        names = (*names[:background], BACKGROUND, *names[background:])
    if len(names) != expected:
        raise ConfigError(
            f"detector spec, classes: {len(names)} names for {expected} scores of a box",
            remedy=f"give {expected} names in `classes`",
        )
    return names
