"""The files that ship with edgecv are found in a wheel and beside a checkout."""

import pytest

from edgecv_cli.core import resources
from edgecv_cli.core.errors import EdgeCVError


def test_a_checkout_has_its_resources():
    assert resources.resource("calibration_data").is_dir()


def test_the_wheels_own_copy_comes_first(tmp_path, monkeypatch):
    for root in ("wheel", "checkout"):
        (tmp_path / root / "configs").mkdir(parents=True)
    (tmp_path / "checkout" / "configs" / "only.yaml").touch()
    monkeypatch.setattr(resources, "_ROOTS", (tmp_path / "wheel", tmp_path / "checkout"))
    assert resources.resource("configs") == tmp_path / "wheel" / "configs"
    assert resources.resource("configs", "only.yaml").is_relative_to(tmp_path / "checkout")


def test_a_lacking_file_is_the_installations_fault():
    with pytest.raises(EdgeCVError, match=r"configs/no-such\.yaml") as caught:
        resources.resource("configs", "no-such.yaml")
    assert "pip install" in caught.value.remedy


def test_only_the_two_folders_are_resources():
    with pytest.raises(ValueError, match="tests"):
        resources.resource("tests")
