"""One queue of several rankings: each image once, by shares, with an honest random part."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from late import Late
from onlineml.data.manifest.box_arrays import Boxes
from onlineml.errors import ConfigError, DataError
from onlineml.evaluation.detection.detections import Detections
from onlineml.improving.review import (
    Candidates,
    Why,
    box_error_candidates,
    candidates_by_score,
    label_error_candidates,
    rank,
)
from onlineml.improving.review.box_errors import find_box_errors
from onlineml.improving.review.duplicates import Chosen, first_of_alike
from onlineml.improving.review.label_errors import find_label_errors

stats = Late("scipy.stats")


def ids(n):
    return [f"image-{i}" for i in range(n)]


def listed(reason, rows, **options):
    return Candidates(reason, tuple(Why(reason, row, 1.0 / (1 + i)) for i, row in enumerate(rows)), **options)


def rows_of(queue):
    return [item.row for item in queue]


def test_nothing_is_queued_of_nothing():
    queue = rank([], [], limit=10)

    assert len(queue) == 0
    assert "0 of 0 images" in str(queue)
    assert queue._repr_html_()
    assert queue.to_frame().empty
    assert len(rank([listed("uncertain", [0])], ids(3), limit=0)) == 0


def test_lists_take_turns_and_each_image_stands_once_with_all_its_reasons():
    lists = [listed("label error", [4, 2, 0]), listed("uncertain", [2, 4, 1, 3])]

    queue = rank(lists, ids(6), limit=5, random_share=0)

    assert rows_of(queue) == [4, 2, 0, 1, 3]
    assert [why.reason for why in queue[1].whys] == ["label error", "uncertain"]
    assert queue[1].reason == "label error"
    assert queue.counts() == {"label error": 3, "uncertain": 2}


def test_shares_decide_how_often_a_list_has_its_turn():
    lists = [listed("a", range(100), share=3), listed("b", range(100, 200))]

    queue = rank(lists, ids(200), limit=40, random_share=0)

    assert queue.counts() == {"a": 30, "b": 10}
    assert {item.reason for item in queue.items[:4]} == {"a", "b"}


def test_urgent_images_come_before_all_others():
    lists = [listed("uncertain", [0, 1, 2]), listed("conflict", [5, 3], urgent=True)]

    assert rows_of(rank(lists, ids(6), limit=4, random_share=0)) == [5, 3, 0, 1]


def test_a_list_that_ends_leaves_its_places_to_others():
    lists = [listed("a", [0]), listed("b", range(1, 9))]

    assert len(rank(lists, ids(9), limit=6, random_share=0)) == 6


def test_the_random_share_is_spread_over_the_queue():
    queue = rank([listed("a", range(1000))], ids(1000), limit=50, random_share=0.2, seed=3)

    assert len(queue) == 50
    assert queue.n_random == 10
    halves = [sum(item.is_random for item in queue.items[k : k + 25]) for k in (0, 25)]
    assert halves == [5, 5]
    assert "10 sampled at random" in str(queue)


def test_what_is_drawn_at_random_does_not_depend_on_what_is_wanted():
    def drawn(*lists):
        queue = rank(lists, ids(300), limit=60, seed=7)
        return {item.image_id for item in queue if item.is_random}

    assert drawn() == drawn(listed("a", range(100))) == drawn(listed("b", range(299, -1, -1), urgent=True))


def test_every_image_is_drawn_as_often():
    counts = np.zeros(40)
    for seed in range(400):
        queue = rank([listed("a", range(20))], ids(40), limit=20, random_share=0.5, seed=seed)
        counts[[item.row for item in queue if item.is_random]] += 1

    assert stats.chisquare(counts).pvalue > 0.001


def test_a_random_image_that_is_wanted_keeps_its_reasons():
    queue = rank([listed("a", range(10))], ids(10), limit=10, random_share=1.0)

    assert queue.n_random == 10
    assert all(item.whys for item in queue)
    assert all("a; random" in str(item) for item in queue)


def test_what_was_reviewed_is_neither_wanted_nor_drawn():
    done = ids(90)

    queue = rank([listed("a", range(100))], ids(100), limit=50, random_share=0.5, done=done)

    assert len(queue) == 10
    assert queue.n_open == 10
    assert min(rows_of(queue)) == 90


def test_images_that_look_alike_stand_once_but_the_drawn_stay():
    embeddings = np.repeat(np.eye(5), 4, axis=0)  # five scenes of four frames
    chosen = Chosen(embeddings=embeddings)

    queue = rank([listed("a", range(20))], ids(20), limit=20, random_share=0, chosen=chosen)
    assert rows_of(queue) == [0, 4, 8, 12, 16]
    assert queue.n_alike == 15

    queue = rank([listed("a", range(20))], ids(20), limit=10, random_share=0.8, chosen=Chosen(embeddings=embeddings))
    assert queue.n_random == 8
    scenes = {item.row // 4 for item in queue if item.is_random}
    assert not scenes & {item.row // 4 for item in queue if not item.is_random}


def test_hashes_tell_what_looks_alike_bit_by_bit():
    hashes = np.array([0b0000, 0b0001, 0b11111, 0b0111], np.uint64)

    assert first_of_alike([0, 1, 2, 3], Chosen(hashes=hashes, max_bits=1), limit=9) == ([0, 2, 3], 1)
    assert first_of_alike([3, 2, 1, 0], Chosen(hashes=hashes, max_bits=2), limit=9) == ([3, 0], 2)
    assert first_of_alike([0, 1, 2, 3], Chosen(hashes=hashes, max_bits=0), limit=2) == ([0, 1], 0)


def test_images_without_features_are_like_none():
    chosen = Chosen(embeddings=np.zeros((3, 4)))

    assert first_of_alike([0, 1, 2], chosen, limit=9) == ([0, 1, 2], 0)


def test_scores_become_lists_without_what_is_not_wanted():
    one = candidates_by_score("uncertain", np.array([0.2, np.nan, 0.9, 0.0, 0.9]))

    assert [(why.row, why.score) for why in one.whys] == [(2, 0.9), (4, 0.9), (0, 0.2)]
    assert [why.row for why in candidates_by_score("x", np.array([0.2, 0.9]), above=0.5).whys] == [1]


def test_label_errors_come_with_the_likelier_class():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.5, 0.5]])
    errors = find_label_errors(np.array([0, 0, 0, 1, 1]), probabilities)

    queue = rank([label_error_candidates(errors, ["cat", "dog"])], ids(5), limit=5, random_share=0)

    assert str(queue[0]) == "image-2: label error: model says dog, 90\N{NO-BREAK SPACE}%"
    assert queue[0].whys[0].score == pytest.approx(0.8)


def test_box_errors_come_with_their_boxes():
    truth = Boxes(
        boxes_xyxy=np.array([[0.0, 0, 10, 10], [0, 0, 10, 10]]),
        label_ids=np.array([0, 0]),
        crowd=np.zeros(2, bool),
        area=np.full(2, np.nan),
        offsets=np.array([0, 1, 1, 2]),
        annotated=np.ones(3, bool),
    )
    boxes = np.array([[0.0, 0, 10, 10], [5, 5, 20, 20], [0, 0, 10, 10], [50, 50, 60, 60]])
    found = Detections([0, 1, 2, 2], boxes, [1, 1, 0, 0], [0.9, 0.8, 0.7, 0.6], 3)
    errors = find_box_errors(truth, found, ["cell", "egg"], thresholds={"cell": 0.5, "egg": 0.5})

    queue = rank(box_error_candidates(errors, found, ["cell", "egg"]), ids(3), limit=3, random_share=0)

    assert [str(item) for item in queue] == [
        "image-1: no box here, model says egg, 80\N{NO-BREAK SPACE}%",
        "image-0: swapped box: model says egg, 90\N{NO-BREAK SPACE}%",
        "image-2: no box here, model says cell, 60\N{NO-BREAK SPACE}%",
    ]  # fmt: skip
    assert queue[0].whys[0].box_xyxy == (5, 5, 20, 20)
    assert [item.whys[0].object_row for item in queue] == [-1, 0, -1]


def test_the_table_says_what_the_queue_says():
    queue = rank([listed("<b>", [1]), listed("b", [1, 0])], ids(4), limit=4, random_share=0.25, seed=1)
    frame = queue.to_frame()

    assert len(frame) == len(queue)
    assert frame.set_index("image_id").loc["image-1", "reasons"] == "<b>, b"
    assert frame["is_random"].sum() == 1
    assert "<b>" not in queue._repr_html_()


@given(
    st.lists(st.lists(st.integers(0, 29), max_size=40), max_size=4),
    st.integers(0, 40),
    st.floats(0, 1),
    st.integers(0, 3),
    st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_any_queue_holds_each_image_once_and_keeps_its_word(lists, limit, share, seed, thin):
    given_lists = [listed(f"reason {k}", rows, share=1.0 + k, urgent=k == 2) for k, rows in enumerate(lists)]
    embeddings = np.eye(10)[np.arange(30) % 10]
    options = {"limit": limit, "random_share": share, "seed": seed, "done": ["image-3", "elsewhere"]}

    queue, again = (
        rank(given_lists, ids(30), **options, chosen=Chosen(embeddings=embeddings) if thin else None) for _ in range(2)
    )

    rows = rows_of(queue)
    assert rows == rows_of(again)
    assert len(rows) == len(set(rows)) <= limit
    assert 3 not in rows
    assert queue.n_random == min(round(share * limit), 29)
    wanted = {row for rows in lists for row in rows} - {3}
    if not thin:
        assert len(rows) == min(limit, queue.n_random + len(wanted - {i.row for i in queue if i.is_random}))
    assert all(item.whys or item.is_random for item in queue)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: rank([], ["a", "a"], limit=1), DataError, "more than once"),
        (lambda: rank([listed("a", [7])], ids(3), limit=1), DataError, "outside the pool of 3 images, such as 7"),
        (lambda: rank([], ids(3), limit=-1), ConfigError, "limit=-1"),
        (lambda: rank([], ids(3), limit=1, random_share=20), ConfigError, "random_share=20"),
        (lambda: rank([], ids(3), limit=1, chosen=Chosen(embeddings=np.eye(4))), DataError, "made for 4 images"),
        (lambda: listed("random", []), ConfigError, "is reserved"),
        (lambda: listed("", []), ConfigError, "expected a name"),
        (lambda: listed("a", [], share=0), ConfigError, "share=0"),
        (lambda: candidates_by_score("a", np.eye(2)), DataError, r"expected \(N,\)"),
        (Chosen, DataError, "either embeddings or hashes"),
        (lambda: Chosen(embeddings=np.eye(2), hashes=np.zeros(2, np.uint64)), DataError, "either embeddings or hashes"),
        (lambda: Chosen(hashes=np.zeros(2)), DataError, "expected .N,. uint64"),
        (lambda: Chosen(embeddings=np.full((2, 2), np.nan)), DataError, "finite features"),
        (lambda: Chosen(embeddings=np.eye(2), min_cosine=0), ConfigError, "min_cosine=0"),
    ],
)
def test_what_does_not_fit_is_refused(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_doubtful_labels_come_after_the_suspect_ones():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7], [0.5, 0.5]])
    errors = find_label_errors(np.array([0, 0, 0, 1, 1]), probabilities)

    queue = rank([label_error_candidates(errors, ["cat", "dog"])], ids(5), limit=5, random_share=0)

    assert [str(item) for item in queue] == [
        "image-2: label error: model says dog, 90\N{NO-BREAK SPACE}%",
        "image-4: doubtful label: model says cat, 50\N{NO-BREAK SPACE}%",
    ]
