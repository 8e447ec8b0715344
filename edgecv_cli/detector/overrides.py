"""What a user says of a detector: a spec file whose keys override everything found."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgecv_cli.config.yaml import LIMIT_BYTES, read_yaml
from edgecv_cli.core.errors import ConfigError
from edgecv_cli.detector.anchors import Anchors, read_anchors
from edgecv_cli.detector.classes import BACKGROUND, PRESETS
from edgecv_cli.detector.metadata import printable
from edgecv_cli.detector.spec import DetectorSpec, InputSpec, OutputTensor

_ROLES = ("boxes", "scores", "objectness", "score", "label", "image", "count")
_TOLD_WHOLE = ("generic", "end2end")  # families whose outputs are read as the user names them
_MOST_OUTPUTS = 64
_KEYS = {
    "": frozenset(DetectorSpec.model_fields) - {"version"},
    "input": frozenset(InputSpec.model_fields),
    "outputs": frozenset({"all", "layout", "tensors", *_ROLES}),
}


def load_spec_overrides(path: Path) -> Mapping[str, Any]:
    """Read a detector spec file.

    Returns:
        The keys that it sets; ``classes`` is resolved to a tuple of names.

    Raises:
        ConfigError: it is no YAML mapping, or has a key or class list that is not known.
    """
    value = read_yaml(path)
    if not isinstance(value, dict):
        raise ConfigError(f"'{path}' holds no keys", remedy="write lines such as `family: yolox`")
    _check_keys(value, path)
    _check_outputs(value.get("outputs", {}), path)
    if isinstance(value.get("classes"), str):
        value["classes"] = _named_classes(value["classes"], path)
    return value


def apply_overrides(
    spec: DetectorSpec, override: Mapping[str, Any], *, any_classes: bool = False
) -> DetectorSpec:
    """Return the spec with the user's keys in place of its own.

    Args:
        spec: what was found.
        override: the user's keys.
        any_classes: whether the outputs leave the number of classes open.

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
        background = merged.get("background")
        names = _class_names(override["classes"])
        if any_classes:
            merged["classes"] = _with_background(names, background)
        else:
            merged["classes"] = _fitting_classes(names, spec, background)
    try:
        return DetectorSpec.model_validate(merged)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(
            f"detector spec{key and f', {key}'}: {message[:1].lower()}{message[1:]}",
            remedy=f"correct {f'`{key}`' if key else 'it'} in --spec",
        ) from error


def renamed_outputs(spec: DetectorSpec, told: Mapping[str, Any]) -> dict[str, Any]:
    """Return a family's outputs under the names that the user gives.

    Raises:
        ConfigError: the family has no such output, or several that share the role.
    """
    if "tensors" in told:
        return {"tensors": told["tensors"]}
    tensors = list(spec.outputs.tensors)
    if spec.family in _TOLD_WHOLE:
        return {"tensors": [tensor.model_dump() for tensor in tensors]}
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


def _check_outputs(outputs: Mapping[str, Any], path: Path) -> None:
    """Refuse what names no outputs: a name, or one a stride."""
    for key, value in outputs.items():
        listed = value if isinstance(value, list) else [value]
        kinds: Any = dict if key == "tensors" else str
        sound = all(isinstance(entry, kinds) for entry in listed)
        if not sound or not 1 <= len(listed) <= _MOST_OUTPUTS:
            raise ConfigError(
                f"'{path}': `outputs.{key}` is neither a name nor a list of them",
                remedy="quote names that look like numbers: `outputs: {boxes: '812'}`",
            )


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
    try:
        with file.open("rb") as lines:
            text = lines.read(LIMIT_BYTES + 1).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"'{file}' can't be read as text in UTF-8", remedy="give one class name a line"
        ) from error
    if len(text) > LIMIT_BYTES:
        raise ConfigError(f"'{file}' is larger than 1 MiB", remedy="give one class name a line")
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _class_names(value: Any) -> tuple[str, ...]:
    given: Any = PRESETS.get(value, value) if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(isinstance(name, str) for name in given):
        raise ConfigError(
            "detector spec, classes: neither coco80, coco91 nor a list of names",
            remedy="correct `classes` in --spec; quote names such as 'yes' and '1'",
        )
    return tuple(printable(name) for name in given)


def _with_background(names: tuple[str, ...], background: int | None) -> tuple[str, ...]:
    if background is None or names[background : background + 1] == (BACKGROUND,):
        return names
    return (*names[:background], BACKGROUND, *names[background:])


def _fitting_classes(
    names: tuple[str, ...], spec: DetectorSpec, background: int | None
) -> tuple[str, ...]:
    expected = len(spec.classes)
    if background is not None and len(names) == expected - 1:
        names = (*names[:background], BACKGROUND, *names[background:])
    if len(names) != expected:
        held = [t.name for t in spec.outputs.tensors if {"scores", "label"} & set(t.holds)]
        where = f", in output {held[0]}" if held else ""
        raise ConfigError(
            f"detector spec, classes: {len(names)} names for {expected} scores of a box{where}",
            remedy=f"give {expected} names in `classes`",
        )
    return names
