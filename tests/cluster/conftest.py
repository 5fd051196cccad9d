"""One Ray cluster for all tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ray_nodes import two_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ray_nodes import Nodes


@pytest.fixture(scope="session")
def nodes() -> Iterator[Nodes]:
    with two_nodes() as found:
        yield found
