"""Labelled images on their way to a device: what is read there is what was read here."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from scenes import write_dataset

from edgecv_cli.core.errors import DataError
from edgecv_cli.media.dataset import open_dataset
from edgecv_cli.pipeline.fleet import labelled as module
from edgecv_cli.pipeline.fleet.labelled import labelled_files


@pytest.fixture
def data(tmp_path):
    """Three pictures; one has a crowd and odd numbers, one file bears a hostile name."""
    folder = write_dataset(tmp_path / "coco", images=3)
    file = folder / "instances.json"
    content = json.loads(file.read_text())
    first = content["annotations"][0]
    first.update(iscrowd=1, area=12.345678901, bbox=[1.1, 2.2, 10.7, 11.9])
    for image in content["images"]:
        image["id"] = 1000 - image["id"]
    for row in content["annotations"]:
        row["image_id"] = 1000 - row["image_id"]
    file.write_text(json.dumps(content))
    return folder


def sent(dataset, tmp_path):
    """Return the dataset as a device reads it."""
    scratch, device = tmp_path / "scratch", tmp_path / "device"
    scratch.mkdir()
    files = labelled_files(dataset, scratch)
    for name, path in files:
        target = device / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return open_dataset(device / files[0][0])


@pytest.mark.parametrize("limit", [None, 2])
def test_a_device_reads_the_same(data, tmp_path, limit):
    here = open_dataset(data, limit=limit)
    there = sent(here, tmp_path)

    assert there.categories == here.categories
    assert (there.numbered, len(there.items)) == (True, limit or 3)
    for mine, its in zip(here.items, there.items, strict=True):
        assert (its.image_id, its.width, its.height) == (mine.image_id, mine.width, mine.height)
        assert its.path.read_bytes() == mine.path.read_bytes()
        for field in ("boxes", "category_ids", "iscrowd", "areas"):
            np.testing.assert_array_equal(getattr(its, field), getattr(mine, field))


def test_categories_without_numbers_are_not_sent(data, tmp_path):
    named = replace(open_dataset(data), numbered=False, layout="Pascal VOC")
    with pytest.raises(DataError, match="is Pascal VOC, whose categories have no numbers"):
        labelled_files(named, tmp_path)


def test_more_images_than_a_job_holds_are_refused(data, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_FILES", 3)
    with pytest.raises(DataError, match="3 images are more than devices are sent"):
        labelled_files(open_dataset(data), tmp_path)
