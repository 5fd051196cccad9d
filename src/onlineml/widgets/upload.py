"""Uploading files from the browser into a project, in chunks below the limits of websockets."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from onlineml.arguments.counted import count
from onlineml.errors import ConfigError, DataError
from onlineml.pages import render
from onlineml.project.intake import class_folders, upload_files
from onlineml.registry.promotions import default_author
from onlineml.storage.patience import background
from onlineml.storage.urls import redacted
from onlineml.widgets._view import View, own_project, page_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from onlineml.data.annotations.uploads import Source
    from onlineml.project.project import Project

__all__ = ["Upload"]

_MAX_BYTES = 1 << 30  # per file; half a minute at 30 MB/s through the notebook server
_SHOWN = 20  # refused files in a saved notebook
_TOLD = 200  # refused files per upload in the front end


@dataclass
class _Incoming:
    """A file being received into a temporary file."""

    name: str
    size: int
    path: Path
    file: BinaryIO
    received: int = 0


class Upload(View):
    """Uploads images, zip archives and videos from the browser, optionally with a label, into a project.

    Files are sent in chunks of 1 MB, below the notebook server's message limit. Larger files can be read from a path or
    URL. `onlineml.Project.images.upload_files` does the same without a browser.

    Args:
        project: the target.
        label: the initial class, for classification.
        max_bytes: maximum size of a file; larger ones are refused before they are sent.
        author: of the entries; by default the user of the hub or the machine.

    Attributes:
        image_ids: of all uploaded images.
        refused: reasons by name of the refused files.
    """

    script: ClassVar[str] = "upload"

    def __init__(
        self, project: Project, *, label: str | None = None, max_bytes: int = _MAX_BYTES, author: str | None = None
    ) -> None:
        super().__init__()
        project.kind.of_label(label)  # raises for detection
        if max_bytes < 1:
            raise ConfigError(f"max_bytes={max_bytes}: expected at least 1")
        self.project, self.author, self.max_bytes = project, default_author(author), max_bytes
        self.image_ids: list[str] = []
        self.refused: dict[str, str] = {}
        self._label = label
        self._project = own_project(project)
        self._incoming: dict[str, _Incoming] = {}
        self._undecided: dict[str, tuple[str, Source]] = {}  # whose folders may be classes, until a person says so
        self._n_opened = 0
        self._folder = Path(tempfile.mkdtemp(prefix="onlineml-upload-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    # ---- asked ----

    @background()  # an upload takes as long as it takes
    def answer(self, ask: Mapping[str, Any], buffers: Sequence[bytes]) -> None:
        """Answer the uploader's own script."""
        kind = ask.get("kind")
        if kind == "hello":
            self._send_begin()
        elif kind == "file":
            self._open(str(ask["file"]), str(ask["name"]), int(ask["size"]))
        elif kind == "piece":
            self._take_piece(str(ask["file"]), int(ask["offset"]), buffers[0])
        elif kind == "end":
            incoming = self._whole(str(ask["file"]))
            self._store([(str(ask["file"]), incoming.name, incoming.path)], ask)
        elif kind == "several":
            named = zip(ask["files"], ask["names"], buffers, strict=True)
            self._store([(str(file), str(name), content) for file, name, content in named], ask)
        elif kind == "path":
            url = str(ask["url"]).strip()
            self._store([(str(ask["file"]), redacted(url), url)], ask)
        elif kind == "folders":
            self._store([(str(ask["file"]), *self._undecided.pop(str(ask["file"])))], ask)
        elif kind == "drop":
            self._drop(str(ask["file"]))

    def _send_begin(self) -> None:
        self.send(
            {
                "kind": "begin",
                "title": self.project.title,
                "project": page_key(self.project, self.author),
                "classes": list(self._project.classes.names()),
                "labelled": self.project.kind.label_alone,
                "label": self._label,
                "max_bytes": self.max_bytes,
                "added": len(self.image_ids),
            }
        )

    # ---- pieces ----

    def _open(self, file: str, name: str, size: int) -> None:
        free = shutil.disk_usage(self._folder).free
        if size > self.max_bytes:
            raise DataError(f"{name} has {size:,} bytes, more than {self.max_bytes:,}: pass its path or URL instead")
        if size * 2 > free:
            raise DataError(f"{name} has {size:,} bytes, the kernel's disk {free:,} free: pass its path or URL instead")
        self._n_opened += 1
        path = self._folder / str(self._n_opened)  # independent of the file's name
        self._incoming[file] = _Incoming(name, size, path, path.open("wb"))
        self.send({"kind": "got", "file": file, "received": 0})

    def _take_piece(self, file: str, offset: int, piece: bytes) -> None:
        incoming = self._known(file)
        if offset != incoming.received or offset + len(piece) > incoming.size:
            self._drop(file)
            raise DataError(f"{incoming.name}: chunks arrived out of order or exceed the file's size; upload it again")
        incoming.file.write(piece)
        incoming.received += len(piece)
        self.send({"kind": "got", "file": file, "received": incoming.received})

    def _known(self, file: str) -> _Incoming:
        if file not in self._incoming:
            raise DataError("unknown upload: the kernel was restarted, or the upload was cancelled; upload it again")
        return self._incoming[file]

    def _whole(self, file: str) -> _Incoming:
        incoming = self._known(file)
        del self._incoming[file]
        incoming.file.close()
        if incoming.received != incoming.size:
            incoming.path.unlink(missing_ok=True)
            raise DataError(
                f"{incoming.name}: {incoming.received:,} of {incoming.size:,} bytes arrived; upload it again"
            )
        return incoming

    def _drop(self, file: str) -> None:
        _, source = self._undecided.pop(file, ("", ""))
        if isinstance(source, Path):
            source.unlink(missing_ok=True)
        incoming = self._incoming.pop(file, None)
        if incoming is not None:
            incoming.file.close()
            incoming.path.unlink(missing_ok=True)

    # ---- stored ----

    def _store(self, files: Iterable[tuple[str, str, Source]], ask: Mapping[str, Any]) -> None:
        """Upload files to the project, except those about whose folders a person is asked first."""
        listed = [one for one in _with_unique_names(files) if not self._asks_about(*one, ask)]
        try:
            if listed:
                self._upload(listed, ask)
        finally:
            for _, _, source in listed:
                if isinstance(source, Path):  # a received file
                    source.unlink(missing_ok=True)

    def _asks_about(self, file: str, name: str, source: Source, ask: Mapping[str, Any]) -> bool:
        """Ask what the folders of an archive or folder mean, unless that was said; return whether there are any."""
        if ask.get("from_folders") is not None or not self.project.kind.label_alone:
            return False
        folders = class_folders(source, self._project)
        if folders:
            self._undecided[file] = (name, source)
            known = set(self._project.classes.names())
            told = [{"name": one, "n": n, "known": one in known} for one, n in sorted(folders.items())]
            self.send({"kind": "folders", "file": file, "folders": told})
        return bool(folders)

    def _upload(self, listed: Sequence[tuple[str, str, Source]], ask: Mapping[str, Any]) -> None:
        """Upload files to the project, and report the result of each."""
        label = str(ask.get("label") or "") or None
        from_folders = bool(ask.get("from_folders"))
        if not self.project.kind.label_alone:
            label, from_folders = None, False
        every_s = float(ask.get("every_s") or 0) or None
        self._label = label or self._label
        first = listed[0][0]
        found = upload_files(
            self._project,
            [(name, source) for _, name, source in listed],
            label=label,
            labels_from_folders=from_folders,
            split=None,
            every_s=every_s,
            author=self.author,
            told=lambda n: self.send({"kind": "stored", "file": first, "images": n}),
        )
        self.image_ids += found.image_ids
        self.refused |= found.refused
        for file, name, _ in listed:
            inner = f"{name.rstrip('/')}/"
            of_it = {one: why for one, why in found.refused.items() if one == name or one.startswith(inner)}
            n = sum(n for one, n in found.added.items() if one == name or one.startswith(inner))
            refused = list(of_it.items())[:_TOLD]
            self.send({"kind": "done", "file": file, "images": n, "refused": refused, "n_refused": len(of_it)})
        self.send_all({"kind": "total", "added": len(self.image_ids), "classes": list(self._project.classes.names())})

    # ---- left ----

    def static_html(self) -> str:
        """Return the number of images that were uploaded, and the files that were refused."""
        values = {"title": self.project.title, "n": len(self.image_ids), "refused": self.refused, "shown": _SHOWN}
        return render("widgets/upload.html", values)

    def __repr__(self) -> str:
        return f"<Upload: {count(len(self.image_ids), 'image')}, {count(len(self.refused), 'file')} refused>"


def _with_unique_names(files: Iterable[tuple[str, str, Source]]) -> list[tuple[str, str, Source]]:
    """Number files of the same name."""
    seen: dict[str, int] = {}
    found = []
    for file, name, source in files:
        seen[name] = seen.get(name, 0) + 1
        found.append((file, name if seen[name] == 1 else f"{name} ({seen[name]})", source))
    return found
