"""Grids of tiles, computed by hand, and the promise that an object within the overlap is whole in one of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlineml.data.augment.detection_geometry import view_hw, view_scale
from onlineml.data.augment.tiles import Tiles, tile_starts, tiles_for


@pytest.mark.parametrize(
    ("n", "side", "overlap", "expected"),
    [
        (100, 100, 20, [0]),
        (60, 100, 20, [0]),
        (101, 100, 20, [0, 1]),
        (180, 100, 20, [0, 80]),
        (181, 100, 20, [0, 40, 81]),
        (6000, 640, 80, [0, 536, 1072, 1608, 2144, 2680, 3216, 3752, 4288, 4824, 5360]),  # 5360 / 560 = 9.6
        (10, 4, 0, [0, 3, 6]),
    ],
)
def test_tiles_are_evenly_spread_and_end_with_the_picture(n: int, side: int, overlap: int, expected: list[int]):
    assert tile_starts(n, side, overlap) == expected


@given(st.data())
def test_what_is_no_longer_than_the_overlap_is_whole_in_a_tile(data: st.DataObject):
    n, side = data.draw(st.integers(1, 3000)), data.draw(st.integers(2, 700))
    overlap = data.draw(st.integers(0, side - 1))
    starts = tile_starts(n, side, overlap)
    length = data.draw(st.integers(0, min(overlap, n)))
    begin = data.draw(st.integers(0, n - length))

    assert any(start <= begin and begin + length <= start + side for start in starts)
    assert starts[0] == 0
    assert starts[-1] == max(0, n - side)
    assert len(starts) == 1 or (len(starts) - 2) * (side - overlap) + side < n  # one less would not do


def test_the_overlap_is_that_of_large_objects_within_limits():
    def squares(*sides: float) -> np.ndarray:
        return np.array([[7, 9, 7 + side, 9 + side / 2] for side in sides])

    assert tiles_for(400, squares(*range(1, 101))) == Tiles(400, 96)  # 95.05 are the 95 per cent
    assert tiles_for(400, squares(3, 4)) == Tiles(400, 50)  # an eighth
    assert tiles_for(400, np.zeros((0, 4))) == Tiles(400, 50)
    assert tiles_for(400, squares(*[30] * 98, 300, 300)) == Tiles(400, 50, whole=True)
    assert tiles_for(400, squares(*[300] * 9)) == Tiles(400, 200, whole=True)  # half


def test_small_photos_are_neither_shrunk_nor_enlarged_by_tiles():
    assert view_scale((4000, 6000), (320, 320), 640) == 0.5
    assert view_scale((400, 300), (320, 320), 640) == 0.8  # it fits
    assert view_scale((100, 100), (320, 320), 640) == 1.0  # not 3.2
    assert view_scale((100, 100), (320, 320), 160) == 2.0  # as all tiles
    assert view_scale((4000, 6000), (320, 320)) == 320 / 6000
    assert view_hw((4001, 6000), (320, 320), 640) == (2001, 3000)


def test_an_epoch_has_a_sample_for_each_view():
    tiles = Tiles(640, 80, whole=True)
    # at half the size 2000 x 3000 pixels: (2000 - 320) / 274 = 6.1 and (3000 - 320) / 274 = 9.8 steps
    assert (tiles.overlap_in((320, 320)), tiles.grid((4000, 6000), (320, 320))) == (46, (8, 11))
    assert tiles.draws((4000, 6000), (320, 320)) == 89
    assert Tiles(640, 80).draws((4000, 6000), (320, 320)) == 88
    assert tiles.draws((640, 640), (320, 320)) == 1
    shown = [draw for draw in range(200) if tiles.shows_whole(draw, (4000, 6000), (320, 320))]
    assert shown == [88, 177]
    assert not tiles.shows_whole(0, (640, 640), (320, 320))
