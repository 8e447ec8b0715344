from pathlib import Path

import pytest

from edgecv_cli.config.quantize import QuantizeConfig

RECIPES = sorted((Path(__file__).parents[3] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipes_are_read(recipe):
    config = QuantizeConfig.from_file(
        recipe, model="a.onnx", output="b.onnx", calibration="images", data="coco"
    )
    assert config != QuantizeConfig(
        model=Path("a.onnx"), output=Path("b.onnx"), calibration=Path("images"), data=Path("coco")
    )


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipes_say_what_they_are_and_how_to_use_them(recipe):
    text = recipe.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert f"--config {recipe.name}" in text


def test_there_are_recipes():
    assert RECIPES
