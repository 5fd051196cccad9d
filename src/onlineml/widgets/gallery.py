"""A paged gallery of images: 100,000 of them open as quickly as ten."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from onlineml.arguments.counted import count
from onlineml.data.manifest.manifest import Manifest
from onlineml.errors import ConfigError
from onlineml.pages import markup
from onlineml.storage import patience
from onlineml.widgets._manifest_items import manifest_items, project_items
from onlineml.widgets._mending import Mending
from onlineml.widgets._orders import Arrangement, arranged, counts_at_least
from onlineml.widgets._pictures import items_html, pictures, send_pictures, warm
from onlineml.widgets._view import View

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from onlineml.evaluation.render.gallery import GalleryItems
    from onlineml.project.project import Project

__all__ = ["Gallery", "GalleryView"]

_OPEN_PX = 1024  # the longer side of a single image
_STATIC = 24  # images in a saved notebook, 3 kB each
_MOST_ON_A_PAGE = 500


class GalleryView(View):
    """Pages of images with filters; see `Gallery`.

    Attributes:
        gallery: the items.
        filters: present value by facet.
        arrangement: what else is shown, and in which order.
        page_size: images per page.
    """

    script: ClassVar[str] = "gallery"
    _changes = False  # whether the items follow the project
    _is_spread: ClassVar[bool] = False  # whether the order of the images has no meaning

    @patience.click
    def __init__(
        self,
        make_items: Callable[[], GalleryItems],
        *,
        where: Mapping[str, str] | None = None,
        page_size: int = 48,
        thumbnail_px: int = 160,
        mending: Mending | None = None,
    ) -> None:
        super().__init__()
        if not 1 <= page_size <= _MOST_ON_A_PAGE or not 16 <= thumbnail_px <= _OPEN_PX:
            raise ConfigError(
                f"page_size={page_size}, thumbnail_px={thumbnail_px}: expected 1 to {_MOST_ON_A_PAGE} images per page, "
                f"of 16 to {_OPEN_PX} pixels"
            )
        self._make_items = make_items
        self.gallery = make_items()
        self.page_size, self.thumbnail_px = page_size, thumbnail_px
        self.filters: dict[str, str] = {}
        self.arrangement = Arrangement()
        self._mending = mending
        self._start = 0
        self._pool: ThreadPoolExecutor | None = None
        self._warming: Future[None] | None = None
        self.show(where or {})

    @patience.click
    def show(
        self,
        where: Mapping[str, str],
        *,
        page: int = 1,
        search: str = "",
        sort_by: str = "",
        descending: bool = True,
        least_score: float = 0.0,
    ) -> None:
        """Show the images that match all filters, such as ``{"class": "cat", "split": "test"}``.

        Args:
            where: values by filter.
            page: from 1.
            search: a part of the images' path or id.
            sort_by: such as ``"score"``, ``"disagreement"``, ``"date"``, ``"name"`` or ``"number of boxes"``; "" for
                the gallery's own order.
            descending: whether the largest come first.
            least_score: images with a lower score, or without one, are left out; 0 for all.

        Raises:
            ConfigError: a filter, value or order does not exist.
        """
        self._arrange(where, Arrangement(search, sort_by, descending, least_score))
        last = max(0, (len(self._rows) - 1) // self.page_size)
        self._start = self.page_size * min(max(0, page - 1), last)
        self.send(self._told())

    def _arrange(self, where: Mapping[str, str], arrangement: Arrangement) -> None:
        self._scored, self._rows = arranged(self.gallery, where, arrangement)
        self.filters, self.arrangement = dict(where), arrangement

    @property
    def image_ids(self) -> tuple[str, ...]:
        """The ids of all images that match the filters, on all pages."""
        return tuple(self.gallery.ids[row] for row in self._rows)

    def reload(self) -> None:
        """Reload the images, keeping filters that still match any."""
        self.gallery = self._make_items()
        known = {facet.name: facet.values for facet in self.gallery.facets}
        kept = {name: value for name, value in self.filters.items() if value in known.get(name, ())}
        own = asdict(self.arrangement)
        if own["sort_by"] not in {order.name for order in self.gallery.orders}:
            own |= {"sort_by": ""}
        self.show(kept, page=1 + self._start // self.page_size, **own)

    def _told(self) -> dict[str, Any]:
        facets = [
            {"name": facet.name, "values": facet.values, "counts": facet.counts()}
            for facet in self.gallery.facets
            if len(facet.values) > 1 or facet.name in self.filters
        ]
        return {
            "kind": "deck",
            "title": self.gallery.title,
            "n": len(self.gallery),
            "facets": facets,
            "filters": self.filters,
            "start": self._start,
            "page_size": self.page_size,
            "side": self.thumbnail_px,
            "orders": [order.name for order in self.gallery.orders],
            "arrangement": asdict(self.arrangement),
            "mend": self._mending.told() if self._mending is not None else None,
            **self._extra(),
        }

    def _extra(self) -> dict[str, Any]:
        """Return further facts that a view of this kind sends."""
        return {}

    def _page(self, start: int) -> list[int]:
        rows: list[int] = self._rows[max(0, start) : max(0, start) + self.page_size].tolist()
        return rows

    # ---- asked ----

    def answer(self, ask: Mapping[str, Any], buffers: Sequence[bytes]) -> None:
        """Answer the gallery's own script."""
        del buffers
        kind = ask.get("kind")
        if kind == "hello":
            self.send(self._told())
        elif kind == "reload":
            self.reload()
        elif kind == "page":
            self._send_page(ask)
        elif kind == "rows":  # of all pages, to choose them
            self.send({"kind": "rows", "rows": self._rows.tolist()})
        elif kind == "warm":
            self._warm(int(ask["start"]))
        elif kind == "open":
            self._send_open(int(ask["row"]))
        elif kind == "mend":
            self._mend([int(row) for row in ask["rows"]], str(ask["what"]), str(ask.get("label") or ""))

    def _send_page(self, ask: Mapping[str, Any]) -> None:
        filters = {str(name): str(value) for name, value in ask["filters"].items()}
        arrangement = Arrangement(**ask.get("arrangement", {}))
        if filters != self.filters or arrangement != self.arrangement:
            self._arrange(filters, arrangement)
        self._start = max(0, int(ask["start"]))
        rows = self._page(self._start)
        notes = [""] * len(rows) if self._mending is None else self._mending.notes(self.gallery, rows)
        items = [
            {"row": row, "id": self.gallery.ids[row], "mended": note, **item.facts()}
            for row, note, item in zip(rows, notes, self.gallery.items(rows), strict=True)
        ]
        page = {"kind": "page", "of": ask.get("number"), "start": self._start, "total": len(self._rows)}
        self.send({**page, "cards": items, "at_least": counts_at_least(self.gallery, self._scored)})
        send_pictures(self, self.gallery, rows, of=ask.get("number"), side=self.thumbnail_px)

    # ---- mended ----

    @property
    def widget(self) -> Any:
        """The live part as an ipywidgets widget, with the editor of chosen images below it."""
        return super().widget if self._mending is None else self._mending.framed(super().widget)

    @property
    def editor(self) -> View | None:
        """The widget in which images were opened last; None before."""
        return None if self._mending is None else self._mending.editor

    def _mend(self, rows: Sequence[int], what: str, label: str) -> None:
        if self._mending is None:
            raise ConfigError("these images belong to no project that is known here: pass project=")
        self._mending.change(self.gallery, rows, what, label)
        if self._changes and what != "editor":
            self.reload()
        self.send({"kind": "mended", "what": what, "n": len(rows)})

    def _warm(self, start: int) -> None:
        rows = self._page(start)
        if rows and (self._warming is None or self._warming.done()):
            self._pool = self._pool or ThreadPoolExecutor(1)
            self._warming = self._pool.submit(warm, self.gallery, rows, side=self.thumbnail_px)

    def _send_open(self, row: int) -> None:
        if not 0 <= row < len(self.gallery):
            raise ConfigError(f"there is no image {row}; there are {len(self.gallery):,}")
        (large,) = pictures(self.gallery, [row], side=_OPEN_PX)
        (item,) = self.gallery.items([row])
        told = {
            "kind": "open",
            "row": row,
            "id": self.gallery.ids[row],
            "facts": self.gallery.facts(row),
            **item.facts(),
        }
        self.send({**told, "title": item.title, "size": large.size_hw, "error": large.error}, [large.picture])

    # ---- left ----

    def static_html(self) -> str:
        """Return the first images of the present page; of a manifest or project, images from all over it."""
        spread = self._is_spread and not self._start and len(self._rows) > _STATIC
        rows = self._page(self._start)[:_STATIC]
        told = ", ".join(f"{name}: {value}" for name, value in self.filters.items())
        shown = f"{count(len(self._rows), 'image')}" + (f" ({told})" if told else "")
        if spread:
            rows = self._rows[np.linspace(0, len(self._rows) - 1, _STATIC).astype(np.int64)].tolist()
            shown += f"; {_STATIC} from all over them"
        elif rows:
            shown += f"; {self._start + 1:,} to {self._start + len(rows):,}"
        head = markup("<b>{}</b><br><small>{}</small>", self.gallery.title, shown)
        return items_html(head, self.gallery, rows)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {count(len(self._rows), 'image')}>"


class Gallery(GalleryView):
    """Images of a manifest or a project in pages, with filters by class, split, state and extra columns.

    Only the present page is read. Thumbnails are made once and cached.

    Args:
        images: a manifest, or a project with its present images.
        project: of a manifest's images, to relabel them, leave them out or open them in the editor; a project shown
            as ``images`` needs none.
        author: of these changes; by default the user of the hub or the machine.
        where: initial filters, such as ``{"class": "cat", "state": "suggested"}``.
        page_size: images per page.
        thumbnail_px: the longer side of a thumbnail.

    Raises:
        ConfigError: a filter or value does not exist, or a size is out of range.
    """

    _is_spread: ClassVar[bool] = True

    def __init__(
        self,
        images: Manifest | Project,
        *,
        project: Project | None = None,
        author: str | None = None,
        where: Mapping[str, str] | None = None,
        page_size: int = 48,
        thumbnail_px: int = 160,
    ) -> None:
        own = project if isinstance(images, Manifest) else images
        self._changes = own is images
        mending = None if own is None else Mending(own, author)

        def make_items() -> GalleryItems:
            if isinstance(images, Manifest):
                return manifest_items(images)
            return project_items(images if mending is None else mending.project)

        super().__init__(make_items, where=where, page_size=page_size, thumbnail_px=thumbnail_px, mending=mending)
