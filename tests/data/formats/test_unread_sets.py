"""Data sets that are refused become tables of boxes by the lines that the page on formats shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from layouts import found_rows, plant
from layouts_of_boxes import UNREAD
from onlineml.data.formats.visdrone import parse_visdrone
from onlineml.errors import DataError
from places import ROOT

if TYPE_CHECKING:
    from pathlib import Path

FOUND = {  # the layouts' boxes, by hand: WIDER FACE's second image has none, and the others' ignored ones do not count
    "MOT Challenge": {"train/MOT17-02/img1/000001.jpg": "pedestrian 1 2 5 6"},
    "UA-DETRAC": {"Insight-MVT_Annotation_Train/MVI_1/img00001.jpg": "car 1 2 5 6"},
    "WIDER FACE": {"WIDER_train/images/0--Parade/a.jpg": "face 1 2 5 6"},
    "DOTA": {"train/images/P0001.png": "plane 1 2 5 6", "val/images/P0002.png": "plane 1 2 5 6"},
    "BDD100K": {"images/100k/train/a.jpg": "car 1 2 5 6"},
    "CrowdHuman": {"Images/a.jpg": "person 1 2 5 6"},
}


def _blocks() -> list[str]:
    page = (ROOT / "docs/data/formats.md").read_text()
    section = page.partition("## Data sets without a reader\n")[2].partition("\n## ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


@pytest.mark.parametrize("layout", [pytest.param(one, id=one.name) for one in UNREAD if one.refused])
def test_the_lines_of_the_page_make_a_table_of_it(layout: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others, last = _blocks()
    (own,) = [block for block in (first, *others) if f"# {layout.name}" in block]
    folder = re.findall(r'Path\("([^"]+)"\)', own)[0]
    plant(layout, tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    imports = "".join(line for line in first.splitlines(keepends=True) if line.startswith(("import", "from")))
    exec(imports + "import onlineml as oml\n" + (own if own is not first else own.partition("\n\n")[2]), names)  # noqa: S102
    exec(last, names)  # noqa: S102
    rows = found_rows(names["data"], tmp_path / folder, {})
    assert {path: row.partition(" | ")[2] for path, row in rows.items()} == FOUND[layout.name]


@pytest.mark.parametrize(
    "row", ["1,2,4,4,1,12,0,0", "1,2,4,4,1,4,0,3", "1,2,4,4,0.9,4,0,0", "1,2,4,4", "1 2 4 4 1 4 0 0"]
)
def test_rows_that_are_not_those_of_visdrone(row: str) -> None:
    with pytest.raises(DataError, match="line 2: expected 'left,top,width,height"):
        parse_visdrone(f"1,2,4,4,1,4,0,0\n{row}\n".encode(), "a.txt")
