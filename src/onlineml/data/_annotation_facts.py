"""One pass over the entries of an annotation log: what was imported and uploaded, and what people said last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onlineml.data._annotation_boxes import boxes_meant
from onlineml.data._manifest_schema import COLUMNS
from onlineml.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onlineml.storage.log import LogEntry

__all__ = ["Facts", "Spoken"]


@dataclass(frozen=True)
class Spoken:
    """What people said about one image so far.

    Attributes:
        values: by column.
        meaning: equal where two say the same.
        entry: the one that said so last.
        rivals: where nobody has settled it, the entries that contradict each other.
    """

    values: Mapping[str, Any]
    meaning: Any
    entry: str
    rivals: tuple[str, ...] = ()


class Facts:
    """What the log says, gathered in the order of its entries.

    Args:
        boxes: whether images have boxes, or else a label.
    """

    def __init__(self, *, boxes: bool) -> None:
        self.boxes = boxes
        self.imports: list[tuple[str, str]] = []  # entry id, file
        self.uploads: list[tuple[str, dict[str, Any]]] = []
        self.spoken: dict[str, Spoken] = {}
        self.deleted: set[str] = set()
        self.class_names: dict[str, None] = {}

    def add(self, entry: LogEntry) -> None:
        """Note the next entry.

        Raises:
            StorageError: it is not of an annotation log, or of a later version's, or damaged.
        """
        try:
            self._note(entry.id, entry.record)
        except KeyError as err:
            raise StorageError(f"entry {entry.id} of the annotations lacks {err}; it is damaged") from err
        except (TypeError, ValueError, AttributeError) as err:
            raise StorageError(f"entry {entry.id} of the annotations is damaged: {err}") from err

    def _note(self, entry: str, said: Mapping[str, Any]) -> None:
        match said["event"]:
            case "imported":
                self.imports.append((entry, said["file"]))
                self.class_names.update(dict.fromkeys(said["class_names"]))
            case "uploaded":
                self._uploaded(entry, said)
            case "corrected":
                self._corrected(entry, said)
            case "deleted":
                self.deleted.add(said["image_id"])
            case "class_added":
                self.class_names[said["label"]] = None
            case event:
                raise StorageError(
                    f"entry {entry} of the annotations has the event {event!r}, which this version of onlineml does "
                    "not know; update onlineml"
                )

    def _uploaded(self, entry: str, said: Mapping[str, Any]) -> None:
        self.uploads.append((entry, {name: said.get(name) for name in COLUMNS}))
        labels = said.get("labels") if self.boxes else [said["label"]]
        self.class_names.update((label, None) for label in labels or () if label is not None)
        is_back = said["image_id"] in self.deleted
        self.deleted.discard(said["image_id"])
        if said.get("boxes_xyxy" if self.boxes else "label") is None:
            return  # it says nothing about what is there
        if is_back:  # what was said before its deletion is no rival
            self.spoken.pop(said["image_id"], None)
        self._corrected(entry, said)

    def _corrected(self, entry: str, said: Mapping[str, Any]) -> None:
        values: dict[str, Any] = {"label": said["label"]} if not self.boxes else _values_of_boxes(said)
        meaning = boxes_meant(values) if self.boxes else values["label"]
        before = self.spoken.get(said["image_id"])
        rivals: tuple[str, ...] = ()
        unseen = before is not None and said.get("base") != before.entry
        if before is not None and unseen and (before.rivals or meaning != before.meaning):
            rivals = (*(before.rivals or (before.entry,)), entry)
        self.spoken[said["image_id"]] = Spoken(values, meaning, entry, rivals)


def _values_of_boxes(said: Mapping[str, Any]) -> dict[str, Any]:
    return {**said.get("further", {}), "boxes_xyxy": said["boxes_xyxy"], "labels": said["labels"]}
