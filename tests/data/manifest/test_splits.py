"""Splits by hash: stable, group-aware, of the right sizes, and never against the user's own."""

from __future__ import annotations

import hashlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlineml.data.manifest.splits import assign_folds, assign_splits, normalised_split, stable_split
from onlineml.errors import ConfigError


def test_no_groups():
    assert stable_split([]).tolist() == []
    assert assign_splits([], []).tolist() == []


def test_the_definition_written_out():
    for group in ("a", "video-7", "ärger", ""):
        digest = hashlib.blake2b(b"salt\0" + group.encode(), digest_size=8).digest()
        bucket = int.from_bytes(digest, "big") % 10_000
        expected = "train" if bucket < 7000 else "val" if bucket < 9000 else "test"
        found = stable_split([group], fractions={"train": 0.7, "val": 0.2, "test": 0.1}, salt="salt")
        assert found.tolist() == [expected]


def test_shares_are_as_asked():
    n = 20_000
    splits = stable_split([str(i) for i in range(n)]).tolist()
    for name, share in {"train": 0.8, "val": 0.1, "test": 0.1}.items():
        # five standard deviations of a binomial
        assert abs(splits.count(name) - n * share) < 5 * math.sqrt(n * share * (1 - share))


def test_another_salt_divides_independently():
    groups = [str(i) for i in range(20_000)]
    first, second = (stable_split(groups, salt=salt) == "test" for salt in ("", "2"))
    assert abs((first & second).mean() - 0.01) < 0.004  # 0.1 * 0.1, five standard deviations


def test_a_share_of_zero_gets_nothing():
    assert set(stable_split([str(i) for i in range(500)], fractions={"train": 1, "val": 0, "test": 0})) == {"train"}
    assert set(stable_split([str(i) for i in range(500)], fractions={"val": 0, "test": 1})) == {"test"}


@pytest.mark.parametrize("fractions", [{}, {"train": 0.5}, {"train": 1.5, "val": -0.5}, {"train": 0.5, "dev": 0.5}])
def test_impossible_fractions_are_refused(fractions: dict[str, float]):
    with pytest.raises(ConfigError, match="sum to 1"):
        stable_split(["a"], fractions=fractions)


groups_and_splits = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([None, "train", "val", "test"])))


@given(groups_and_splits)
def test_given_splits_stay_and_groups_keep_together(rows: list[tuple[str, str | None]]):
    groups = [group for group, _ in rows]
    splits = assign_splits(groups, [split for _, split in rows]).tolist()
    for group in set(groups):
        given_ones = {split for name, split in rows if name == group and split}
        new = {found for (name, split), found in zip(rows, splits, strict=True) if name == group and split is None}
        assert len(new) <= 1
        if new and given_ones:
            assert new == {next(split for split in ("test", "val", "train") if split in given_ones)}
        elif new:
            assert new == {stable_split([group]).tolist()[0]}
    assert all(found == split for (_, split), found in zip(rows, splits, strict=True) if split)


@given(st.lists(st.text(max_size=5), max_size=20), st.randoms())
def test_neither_order_nor_company_matters(groups: list[str], random):
    alone = {group: stable_split([group]).tolist()[0] for group in groups}
    shuffled = random.sample(groups, len(groups))
    assert stable_split(shuffled).tolist() == [alone[group] for group in shuffled]


def test_names_of_splits():
    assert [normalised_split(name) for name in ("Train", " valid", "VALIDATION", "dev", "testing", "holdout", "")] == [
        "train",
        "val",
        "val",
        "val",
        "test",
        None,
        None,
    ]


@given(
    st.lists(st.tuples(st.sampled_from("abcdefghijkl"), st.sampled_from(["cat", "dog", ""])), min_size=12),
    st.integers(3, 5),
)
def test_folds_keep_groups_together_and_depend_on_names_alone(rows, n_folds):
    groups, labels = [g for g, _ in rows], [label for _, label in rows]
    if len(set(groups)) < n_folds:
        with pytest.raises(ConfigError, match="at least as many groups"):
            assign_folds(groups, labels, n_folds=n_folds)
        return
    folds = assign_folds(groups, labels, n_folds=n_folds)

    assert {(g, f) for g, f in zip(groups, folds, strict=True)} == {(g, folds[groups.index(g)]) for g in set(groups)}
    turned = assign_folds(groups[::-1], labels[::-1], n_folds=n_folds)
    assert turned.tolist() == folds[::-1].tolist()


def test_folds_of_single_images_have_equal_shares_of_each_label():
    labels = ["cat"] * 25 + ["dog"] * 10 + ["owl"] * 5
    folds = assign_folds([str(i) for i in range(40)], labels, n_folds=5)

    for fold in range(5):
        inside = [label for label, own in zip(labels, folds, strict=True) if own == fold]
        assert (inside.count("cat"), inside.count("dog"), inside.count("owl")) == (5, 2, 1)
    assert assign_folds([str(i) for i in range(40)], labels, n_folds=5, salt="1").tolist() != folds.tolist()


def test_folds_of_large_and_small_groups_are_of_similar_size():
    groups = [name for name, n in {"a": 10, "b": 5, "c": 5, "d": 3, "e": 3, "f": 4}.items() for _ in range(n)]
    folds = assign_folds(groups, ["cat"] * 30, n_folds=3)

    assert sorted(int((folds == i).sum()) for i in range(3)) == [9, 10, 11]
