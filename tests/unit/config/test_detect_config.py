"""Options of detect."""

from __future__ import annotations

from typing import Any

import pytest

from edgecv_cli.config.detect import DetectConfig
from edgecv_cli.core.errors import ConfigError, UsageError


def config(**options: Any) -> DetectConfig:
    return DetectConfig.from_options(model="m.onnx", sources=["a.jpg"], **options)


def test_lists_by_commas_and_by_repeating() -> None:
    made = config(output="out", save=["image,json", "csv", "json"], classes=["cat, dog", "7"])
    assert made.save == ("image", "json", "csv")
    assert made.classes == ("cat", "dog", "7")


def test_plain_text_and_numbers_from_yaml() -> None:
    made = DetectConfig.from_mapping(
        {"model": "m.onnx", "sources": ["a.jpg"], "classes": [3, "cat"], "save": "coco",
         "output": "out", "input_size": "480x640"},
        source="detect.yaml",
    )  # fmt: skip
    assert (made.classes, made.save, made.input_size) == (("3", "cat"), ("coco",), (480, 640))


def test_defaults_save_nothing() -> None:
    made = config()
    assert (made.output, made.save, made.classes, made.conf, made.limit) == (
        None, (), (), None, None,
    )  # fmt: skip


def test_a_size_that_is_too_large_says_how_large_it_may_be() -> None:
    with pytest.raises(ConfigError, match="8 to 8192 pixels"):
        config(input_size="100000x100000")


def test_saving_needs_a_place() -> None:
    with pytest.raises(UsageError, match="not where"):
        config(save=["json"])


@pytest.mark.parametrize(
    "options",
    [{"save": ["gif"], "output": "o"}, {"conf": "1.5"}, {"iou": "0"}, {"limit": "0"},
     {"save": {"json": 1}, "output": "o"}],
)  # fmt: skip
def test_values_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"--{next(iter(options))}"):
        config(**options)
