"""Reads and writes annotations with datumaro or supervision, in their own environment; see `test_peer_formats.py`.

Run as ``python peer_formats.py read|write LIBRARY FORMAT FOLDER FACTS.json``. Facts are a mapping of image names to
``{"split", "size_hw", "boxes": [[label, x1, y1, x2, y2], ...]}``, in pixels; writing takes the images from
``FOLDER/../photos``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

Facts = dict[str, dict[str, Any]]
_VOC = {"voc_detection": {"coordinate_mode": "voc-one-based"}}  # as the specification has it, which is not its default


def read_datumaro(format_name: str, folder: Path) -> Facts:
    import datumaro as dm

    dataset = dm.Dataset.import_from(str(folder), format_name, **_VOC.get(format_name, {}))
    labels = dataset.categories()[dm.AnnotationType.label]
    found: Facts = {}
    for item in dataset:
        boxes = [
            [labels[one.label].name, *one.points] for one in item.annotations if one.type == dm.AnnotationType.bbox
        ]
        found[item.id.rpartition("/")[2]] = {"split": item.subset, "boxes": boxes}
    return found


def write_datumaro(format_name: str, folder: Path, facts: Facts) -> None:
    import datumaro as dm

    names = sorted({box[0] for fact in facts.values() for box in fact["boxes"]})
    items = [
        dm.DatasetItem(
            id=name.rpartition(".")[0],
            subset=fact["split"],
            media=dm.Image.from_file(str(folder.parent / "photos" / name)),
            annotations=[
                dm.Bbox(x1, y1, x2 - x1, y2 - y1, label=names.index(label), id=number, group=number, attributes={})
                for number, (label, x1, y1, x2, y2) in enumerate(fact["boxes"], start=1)
            ],
        )
        for name, fact in facts.items()
    ]
    dataset = dm.Dataset.from_iterable(items, categories=names, media_type=dm.Image)
    dataset.export(str(folder), format_name, save_media=True, **_VOC.get(format_name, {}))


def read_supervision(format_name: str, folder: Path) -> Facts:
    import supervision as sv

    found: Facts = {}
    for split, dataset in _supervision_parts(format_name, folder, sv):
        for path, _, detections in dataset:
            boxes = [
                [dataset.classes[number], *map(float, box)]
                for number, box in zip(detections.class_id, detections.xyxy, strict=True)
            ]
            found[Path(path).stem] = {"split": split, "boxes": boxes}
    return found


def _supervision_parts(format_name: str, folder: Path, sv: Any) -> list[tuple[str | None, Any]]:
    sets = sv.DetectionDataset
    if format_name == "coco":
        return [(None, sets.from_coco(str(folder / "images"), str(next(folder.rglob("*.json")))))]
    files = sorted(folder.rglob("*.json"))
    if format_name == "createml":
        return [(None, sets.from_createml(str(file.parent), str(file))) for file in files]
    if format_name == "labelme":
        folders = sorted({str(file.parent) for file in files})
        return [(None, sets.from_labelme(own, own)) for own in folders]
    if format_name == "pascal_voc":
        return [(None, sets.from_pascal_voc(str(folder / "JPEGImages"), str(folder / "Annotations")))]
    yaml = str(folder / "data.yaml")
    splits = [path.name for path in sorted((folder / "images").iterdir())]
    return [
        (split, sets.from_yolo(str(folder / "images" / split), str(folder / "labels" / split), yaml))
        for split in splits
    ]


def write_supervision(format_name: str, folder: Path, facts: Facts) -> None:
    import numpy as np
    import supervision as sv

    names = sorted({box[0] for fact in facts.values() for box in fact["boxes"]})
    annotations, paths = {}, []
    for name, fact in facts.items():
        paths.append(str(folder.parent / "photos" / name))
        annotations[paths[-1]] = sv.Detections(
            xyxy=np.array([box[1:] for box in fact["boxes"]], dtype=float).reshape(-1, 4),
            class_id=np.array([names.index(box[0]) for box in fact["boxes"]], dtype=int),
        )
    dataset = sv.DetectionDataset(classes=names, images=paths, annotations=annotations)
    images, notes = str(folder / "images"), str(folder / "annotations")
    match format_name:
        case "coco":
            dataset.as_coco(images, str(folder / "annotations.json"))
        case "createml":
            dataset.as_createml(images, str(folder / "annotations.json"))
        case "labelme":
            dataset.as_labelme(images, notes)
        case "pascal_voc":
            dataset.as_pascal_voc(images, notes)
        case _:
            dataset.as_yolo(images, str(folder / "labels"), str(folder / "data.yaml"))


def main() -> None:
    action, library, format_name, folder, facts = sys.argv[1:]
    if action == "read":
        read = {"datumaro": read_datumaro, "supervision": read_supervision}[library]
        Path(facts).write_text(json.dumps(read(format_name, Path(folder))), encoding="utf-8")
    else:
        write = {"datumaro": write_datumaro, "supervision": write_supervision}[library]
        write(format_name, Path(folder), json.loads(Path(facts).read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
