"""Writer of YOLO folders in the layout of Ultralytics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from onlineml.arguments.counted import count
from onlineml.data.formats.boxes import known_sizes_hw
from onlineml.data.formats.export import empty_folder, image_chunks, unique_paths, write_many
from onlineml.data.formats.yolo.rows import written_rows
from onlineml.data.images.sizes import upright_size_hw
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import SPLITS
from onlineml.errors import DataError
from onlineml.storage import io

if TYPE_CHECKING:
    import numpy.typing as npt

    from onlineml.data.manifest.manifest import Manifest
    from onlineml.storage.location import Location

__all__ = ["write_yolo"]


def write_yolo(manifest: Manifest, at: Location) -> str:
    """Write YOLO folders, see `Manifest.to_yolo`."""
    # an image without a label file would count as one without objects
    shown = manifest.take(manifest.boxes().annotated)
    boxes = shown.boxes()
    _require_writable(shown)
    target = empty_folder(at)
    splits = shown.table["split"].to_pylist()
    paths = unique_paths(shown, splits, by_stem=True)
    drawn_on = known_sizes_hw(shown)
    for rows, contents in image_chunks(shown):
        files: dict[str, bytes] = {}
        wrong = []
        for row, content in enumerate(contents, start=rows.start):
            size_hw = upright_size_hw(content)
            own = np.arange(boxes.offsets[row], boxes.offsets[row + 1])[~boxes.crowd[boxes.of(row)]]
            if len(own) and not _fits(size_hw, drawn_on[row]):
                wrong.append(paths[row])
            text = written_rows(
                boxes.boxes_xyxy[own].tolist(), boxes.label_ids[own].tolist(), size_hw=size_hw or (1, 1)
            )
            files[f"images/{paths[row]}"] = content
            files[f"labels/{paths[row].rpartition('.')[0] or paths[row]}.txt"] = text.encode()
        if wrong:
            raise DataError(
                f"{count(len(wrong), 'image')} unreadable, or of another size than that at which the boxes were "
                f"drawn: {examples(wrong)}; export check().manifest, which excludes them"
            )
        write_many(target, files)
    facts: dict[str, Any] = {split: f"images/{split}" for split in SPLITS if split in splits}
    facts["names"] = dict(enumerate(shown.class_names))
    text = yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)
    io.write_bytes(target / "data.yaml", text.encode())
    return target.url


def _fits(size_hw: tuple[int, int] | None, drawn_on: npt.NDArray[np.int64]) -> bool:
    return size_hw is not None and (not drawn_on.all() or size_hw == tuple(drawn_on.tolist()))


def _require_writable(manifest: Manifest) -> None:
    boxes = manifest.boxes()
    problems = []
    without = manifest.table["split"].null_count
    if without:
        problems.append(f"{count(without, 'image has')} no split; set it, for instance by with_splits()")
    objects = ~boxes.crowd
    unknown = int((objects & (boxes.label_ids < 0)).sum())
    if unknown:
        problems.append(f"{count(unknown, 'box has')} no known class; export check().manifest, which excludes them")
    broken = int((objects & ~np.isfinite(boxes.boxes_xyxy).all(1)).sum())
    if broken:
        problems.append(f"{count(broken, 'box is')} not finite; export check().manifest, which excludes them")
    if problems:
        raise DataError("the manifest cannot be written as YOLO:\n" + "\n".join(f"  - {p}" for p in problems))
