"""Tables with one row per box: ours, and those that people have from elsewhere."""

from __future__ import annotations

from onlineml.data.formats.box_tables.columns import BoxColumns
from onlineml.data.formats.box_tables.files import box_tables_at
from onlineml.data.formats.box_tables.read import read_box_table
from onlineml.data.formats.box_tables.write import write_box_table, write_tensorflow_csv
from onlineml.data.formats.format import TABLE_ENDINGS, Format

__all__ = ["BOX_TABLE", "TENSORFLOW_CSV", "BoxColumns", "read_box_table", "write_box_table", "write_tensorflow_csv"]

BOX_TABLE = Format(
    "boxes",
    holds=("boxes_xyxy", "labels"),
    expected=f"a {', '.join(TABLE_ENDINGS)} file with a row per box, or a folder with some",
    detect=box_tables_at,
    read=read_box_table,
    write=write_box_table,
    takes=("label",),
)
TENSORFLOW_CSV = Format(
    "tensorflow_csv",
    holds=("boxes_xyxy", "labels"),
    expected="a .csv file with filename,width,height,class,xmin,ymin,xmax,ymax",
    detect=box_tables_at,
    read=read_box_table,
    write=write_tensorflow_csv,
    takes=("label",),
)
