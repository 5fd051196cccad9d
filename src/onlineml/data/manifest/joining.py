"""Several manifests in one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from onlineml.data.annotations.images import all_images
from onlineml.data.formats.parts import image_id
from onlineml.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onlineml.data.manifest.manifest import Manifest

__all__ = ["joined"]


def joined(manifests: Sequence[Manifest]) -> Manifest:
    """See `Manifest.concat`."""
    if not manifests:
        raise ConfigError("expected at least one manifest; found none")
    tasks = {one.task for one in manifests}
    if len(tasks) > 1:
        raise ConfigError(f"manifests of one task can be joined; these are of the tasks {', '.join(sorted(tasks))}")
    options = [one.storage_options for one in manifests if one.storage_options]
    if any(own != options[0] for own in options):
        raise ConfigError("the manifests have different storage_options, but a manifest reads images with one set")
    first, names = manifests[0], tuple(dict.fromkeys(name for one in manifests for name in one.class_names))
    tables = _with_one_id_per_image(manifests)
    images, _ = all_images(list(enumerate(tables)), first.table.slice(0, 0), gone={}, kind=first.kind)
    alike = all((one.class_ids, one.class_names) == (first.class_ids, first.class_names) for one in manifests)
    return replace(
        first,
        table=images.table,
        class_names=names,
        class_ids=first.class_ids if alike else (),
        root=first.root if len({one.root for one in manifests}) == 1 else "",
        storage_options=options[0] if options else None,
        n_ignored=sum(one.n_ignored for one in manifests),
        source=first.source if all(one.source == first.source for one in manifests) else {},
        notes=tuple(dict.fromkeys(note for one in manifests for note in one.notes)),
    )


def _with_one_id_per_image(manifests: Sequence[Manifest]) -> list[pa.Table]:
    """The tables, with equal ids for equal URLs and other ids for other images, and URLs where the roots differ."""
    same_root = len({one.root for one in manifests}) == 1
    id_of: dict[str, str] = {}
    known: dict[str, str] = {}  # by id, the version
    tables = []
    for one in manifests:
        ids, groups = one.table["image_id"].to_pylist(), one.table["group"].to_pylist()
        urls, versions = one.urls(), one.table["version"].to_pylist()
        for row, (url, version) in enumerate(zip(urls, versions, strict=True)):
            own, given = ids[row], id_of.get(url)
            if given is None:
                same = own not in known or (version and known[own] == version)
                given = id_of[url] = own if same else image_id(url, version)
            known.setdefault(given, version)
            ids[row] = given
            groups[row] = given if groups[row] == own else groups[row]
        columns = {"image_id": ids, "group": groups} | ({} if same_root else {"uri": urls})
        table = one.table
        for name, values in columns.items():
            table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.string()))
        tables.append(table)
    return tables
