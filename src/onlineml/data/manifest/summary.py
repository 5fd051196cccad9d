"""The summary of an import, for people: it tells at a glance what was read, and what was not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.compute as pc

from onlineml.arguments.counted import count
from onlineml.data.manifest.edits import UNLABELLED
from onlineml.data.manifest.examples import examples
from onlineml.data.manifest.splits import SPLITS

if TYPE_CHECKING:
    from onlineml.data.manifest.manifest import Manifest

__all__ = ["FINDINGS_LISTED", "left_out", "manifest_summary", "remarks", "split_sizes", "untrained"]

FINDINGS_LISTED = "project.datasets.findings(data) lists them"  # ends the notes of a frozen dataset


def manifest_summary(manifest: Manifest) -> str:
    """See `onlineml.Manifest.summary`."""
    sizes = {name: n for name, n in split_sizes(manifest).items() if n}
    n_classes = len(manifest.class_names)
    shown = [
        f"{' + '.join(f'{n:,}' for n in sizes.values()) or 'no'} images" + (f" ({', '.join(sizes)})" if sizes else ""),
        manifest.kind.content(manifest.table),
        count(n_classes, "class"),
    ]
    return "\n- ".join([", ".join(filter(None, shown)), *remarks(manifest)])


def remarks(manifest: Manifest) -> list[str]:
    """Return sentences about an import: images without annotations, how it was read, and the files passed over."""
    counts = manifest.counts()
    aside = dict.fromkeys((*manifest.kind.aside, UNLABELLED))
    numbers = {name: sum(counts[name].values()) for name in aside if name in counts}
    found = [f"{n:,} image{'' if n == 1 else 's'} {name}" for name, n in numbers.items()]
    found += [*untrained(manifest), *manifest.notes]
    if manifest.n_ignored:
        found.append(f"{manifest.n_ignored:,} other file{'' if manifest.n_ignored == 1 else 's'} passed over")
    return found


def left_out(manifest: Manifest) -> list[str]:
    """Return the sentences about what freezing left out."""
    return [note for note in manifest.notes if note.endswith(FINDINGS_LISTED)]


def untrained(manifest: Manifest) -> list[str]:
    """Tell the classes that no image of train shows, where train shows others: no model can learn these."""
    counts = manifest.counts()
    without = [name for name in manifest.class_names if not counts[name]["train"]]
    if not without or len(without) == len(manifest.class_names):
        return []
    return [f"no image of train shows {examples(without)}"]


def split_sizes(manifest: Manifest) -> dict[str, int]:
    """Return the number of images in each split, and in none."""
    column = manifest.table["split"]
    sizes = {name: int(pc.sum(pc.equal(column, name)).as_py() or 0) for name in SPLITS}
    return {**sizes, "without split": column.null_count}
