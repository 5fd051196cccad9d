"""An annotation log written by hand, entry by entry, for tests of what it adds up to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from onlineml.data.annotations.entries import log_table
from onlineml.data.annotations.state import Annotations, fold, record
from onlineml.storage.log.log import LogEntry, new_ulid

if TYPE_CHECKING:
    from collections.abc import Iterable

BOXES = pa.list_(pa.list_(pa.float64(), 4))


@dataclass
class WrittenLog:
    """Entries, and the tables that they name."""

    task: str = "classification"
    class_names: tuple[str, ...] = ()
    entries: list[LogEntry] = field(default_factory=list)
    tables: dict[str, pa.Table] = field(default_factory=dict)

    def say(self, event: str, image_id: str | None = None, said: Any = "nothing", **facts: Any) -> str:
        """Append an entry: a label, or a pair of boxes and labels, or a list of labels, or None."""
        about: dict[str, Any] = {} if image_id is None else {"image_id": image_id, "base": None}
        if event == "uploaded":
            about |= {"uri": f"blobs/{image_id}", "split": "val", "group": image_id, "label": None}
        if said != "nothing":
            about |= {
                "classification": lambda: {"label": said},
                "detection": lambda: {"boxes_xyxy": said and said[0], "labels": said and said[1]},
                "multilabel": lambda: {"labels": said},
            }[self.task]()
        entry = LogEntry(new_ulid(), record(event, author=facts.pop("author", "ann"), facts=about | facts))
        self.entries.append(entry)
        return entry.id

    def imported(self, said: dict[str, Any], *class_names: str, **further: Any) -> str:
        """An import of images with what `say` takes; further columns as arrays."""
        texts = {name: pa.array(list(said), pa.string()) for name in ("image_id", "uri", "group")}
        texts["split"] = pa.array(["train"] * len(said), pa.string())
        values = list(said.values())
        if self.task == "detection":
            own = {
                "label": pa.nulls(len(said), pa.string()),
                "boxes_xyxy": pa.array([one and one[0] for one in values], BOXES),
                "labels": pa.array([one and one[1] for one in values], pa.list_(pa.string())),
            }
        elif self.task == "multilabel":
            own = {"label": pa.nulls(len(said), pa.string()), "labels": pa.array(values, pa.list_(pa.string()))}
        else:
            own = {"label": pa.array(values, pa.string())}
        table = pa.table(texts | own | {name: pa.array(column) for name, column in further.items()})
        return self.say("imported", file=self.keep(table), class_names=list(class_names))

    def suggested(self, model: str, **columns: Any) -> str:
        """Suggestions: image_id, label, score, top_labels, top_scores; or image_id, boxes_xyxy, labels, scores."""
        if "top_labels" not in columns and "label" in columns:
            columns |= {
                "top_labels": [[one] for one in columns["label"]],
                "top_scores": [[s] for s in columns["score"]],
            }
        if "boxes_xyxy" in columns:
            columns["boxes_xyxy"] = pa.array(columns["boxes_xyxy"], BOXES)
        return self.say("suggested", file=self.keep(pa.table(columns)), model=model)

    def keep(self, table: pa.Table) -> str:
        """A table beside the log; returns its name."""
        name = str(len(self.tables))
        self.tables[name] = table
        return name

    def state(self, entries: Iterable[LogEntry] | None = None) -> Annotations:
        """What the entries, or some of them, add up to."""
        log = log_table(sorted(self.entries if entries is None else entries))
        return fold(log, class_names=self.class_names, read_file=self.tables.__getitem__, task=self.task)

    def said(self, *, without: Iterable[str] = ()) -> dict[str, Any]:
        """By image, its label, or boxes and labels, or labels, after all entries but some."""
        left_out = set(without)
        rows = self.state(entry for entry in self.entries if entry.id not in left_out).table.to_pylist()
        if self.task == "detection":
            return {row["image_id"]: row["boxes_xyxy"] and (row["boxes_xyxy"], row["labels"]) for row in rows}
        return {row["image_id"]: row["labels" if self.task == "multilabel" else "label"] for row in rows}
