"""The table of TensorRT's rules in the guide is the rules' own."""

from pathlib import Path

from edgecv_cli.cli.trt_rules import table, write
from edgecv_cli.graph.tensorrt.rules import RULES
from edgecv_cli.graph.tensorrt.target import DEVICES

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "convert-trt.md"


def test_the_table_of_the_guide_is_current():
    assert table() in GUIDE.read_text(encoding="utf-8")


def test_every_rule_and_every_device_is_explained():
    text = GUIDE.read_text(encoding="utf-8")
    assert all(f"| `{rule.name}` |" in table() for rule in RULES)
    assert all(f"| `{name}`" in text for name in DEVICES)


def test_a_page_gets_the_table_in_place_of_what_it_had(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n| | rule | old |\n|---|\n| 1 |\n\nafter\n", encoding="utf-8")
    write(page)
    assert page.read_text(encoding="utf-8") == f"before\n{table()}\nafter\n"
