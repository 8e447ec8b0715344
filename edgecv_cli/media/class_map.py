"""Which category of a dataset each class of a model stands for."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from edgecv_cli.core.errors import DataError
from edgecv_cli.media.dataset import Dataset

_COCO91 = 91  # category ids 1..90 with gaps, and the background as index 0
_SHOWN = 8


def map_classes(
    class_names: Sequence[str], dataset: Dataset, *, background: int | None = None
) -> dict[int, int]:
    """Return the model's class index -> category id; ``background`` is no object's class.

    By name where every category, or every class, finds its partner (case, spaces and
    punctuation do not count); else, for a model of 91 classes, the index is the category id;
    else by count in the order of the ids. Neither of these holds where names that do match
    contradict it, or the ids are not the data's own.

    Raises:
        DataError: none of the three fits; both lists are named.
    """
    categories = dict(sorted(dataset.categories.items()))
    named = _by_name(class_names, categories)
    objects = [index for index in range(len(class_names)) if index != background]
    if named and len(named) in (len(categories), len(objects)):
        return named
    coco = len(class_names) == _COCO91 and all(0 < key < _COCO91 for key in categories)
    same = {key: key for key in categories}
    if coco and dataset.numbered and named.items() <= same.items():
        return same
    if len(objects) == len(categories) and dataset.numbered:
        ordered = dict(zip(objects, categories, strict=True))
        if named.items() <= ordered.items():
            return ordered
    raise DataError(
        f"the model's {len(objects)} classes ({_few(class_names[index] for index in objects)}) do "
        f"not fit the {len(categories)} categories of {dataset.source} "
        f"({_few(categories.values())}): {_strangers(categories, named)}",
        remedy="give the model's classes with --spec, named as in the dataset's categories",
    )


def _few(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:_SHOWN]) + (", …" if len(listed) > _SHOWN else "")


def _strangers(categories: Mapping[int, str], named: Mapping[int, int]) -> str:
    partners = set(named.values())
    strangers = [repr(name) for key, name in categories.items() if key not in partners]
    return f"no class is called {_few(strangers)}"


def _by_name(class_names: Sequence[str], categories: Mapping[int, str]) -> dict[int, int]:
    """Pair equal names; a name that stands twice on either side pairs nothing."""
    ids: dict[str, list[int]] = defaultdict(list)
    classes: dict[str, list[int]] = defaultdict(list)
    for category_id, name in categories.items():
        ids[plain_name(name)].append(category_id)
    for class_id, name in enumerate(class_names):
        classes[plain_name(name)].append(class_id)
    return {
        found[0]: ids[name][0]
        for name, found in classes.items()
        if len(found) == 1 and len(ids.get(name, ())) == 1
    }


def plain_name(name: str) -> str:
    """Drop what spellings differ in: 'hot dog', 'Hot_Dog' and 'hotdog' are one name.

    A name of nothing but punctuation stays as it is, so that no two of them become one.
    """
    return re.sub(r"[\W_]+", "", name.casefold()) or name
