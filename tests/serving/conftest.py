"""What the tests of the server share: models of each task, and real servers on loopback."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from knowing import known, labelled
from served import running
from tiny import decoded_photos, manifest, photos
from tiny_boxes import trained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import onlineml as oml
    from served import Asked

__all__ = ["decoded_photos", "known", "labelled", "manifest", "photos", "trained"]


@pytest.fixture
def serving() -> Iterator[Callable[..., Asked]]:
    """A function of `create_app`'s arguments that returns a client of a running server."""
    from onlineml.serving import create_app

    with contextlib.ExitStack() as stack:
        yield lambda *given, **named: stack.enter_context(running(create_app(*given, **named)))


@pytest.fixture(scope="package")
def small(known: oml.ImageClassifier) -> Iterator[Asked]:
    """A server with narrow limits."""
    from onlineml.serving import Limits, create_app

    with running(create_app(known, limits=Limits(max_photos=2, max_mb=0.05, max_batch=2))) as ask:
        yield ask
