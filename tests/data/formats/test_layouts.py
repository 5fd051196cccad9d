"""Every layout that people have is read right without any argument, or refused by what was seen; none is misread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from layouts import Layout, found_rows, plant, wanted_rows
from layouts_of_boxes import BOXES
from layouts_of_labels import LABELS
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import OnlineMLError

if TYPE_CHECKING:
    from pathlib import Path

LAYOUTS = [*LABELS, *BOXES]


@pytest.mark.parametrize("layout", [pytest.param(one, id=one.name) for one in LAYOUTS])
def test_it_is_read_or_refused(layout: Layout, tmp_path: Path) -> None:
    url = plant(layout, tmp_path)
    if layout.refused:
        with pytest.raises(OnlineMLError) as caught:
            Manifest.from_any(url)
        missing = [word for word in layout.refused if word not in str(caught.value)]
        assert not missing, str(caught.value)
        return
    found = Manifest.from_any(url)
    wanted = wanted_rows(layout)
    assert found_rows(found, tmp_path, wanted) == wanted
    assert found.task == layout.task
    assert layout.classes is None or found.class_names == tuple(layout.classes.split(", "))
    notes = "; ".join(found.notes)
    assert all(word in notes for word in layout.says), notes


def test_each_layout_has_a_name_of_its_own() -> None:
    names = [one.name for one in LAYOUTS]
    assert len({*names}) == len(names)
