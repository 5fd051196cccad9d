"""MixUp and CutMix, against areas counted by hand and the conservation of mass."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onlineml.tasks.mixing import mix_batch


class Fixed:
    """Draws what a test wants."""

    def __init__(
        self, *, partners: list[int], uniform: float = 0.0, beta: float = 0.0, corner: tuple[int, int]
    ) -> None:
        self.partners, self.value, self.share, self.corner = partners, uniform, beta, list(corner)

    def permutation(self, n: int) -> np.ndarray:
        assert n == len(self.partners)
        return np.array(self.partners)

    def uniform(self) -> float:
        return self.value

    def beta(self, a: float, b: float) -> float:
        return self.share

    def integers(self, high: int) -> int:
        wanted = self.corner.pop(0)
        assert wanted < high
        return wanted


def batch(n: int = 5, size: tuple[int, int] = (8, 12), n_classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Image i has the value i everywhere."""
    images = torch.arange(n, dtype=torch.float32).view(n, 1, 1, 1).expand(n, 3, *size).contiguous()
    return images, torch.nn.functional.one_hot(torch.arange(n) % n_classes, n_classes).float()


@pytest.mark.parametrize("how", ["none", "mixup", "cutmix"])
def test_nothing_and_a_single_image_stay_as_they_are(how: str) -> None:
    for n in (0, 1):
        images, targets = batch(n)
        mixed, mixed_targets = mix_batch(images, targets, how=how, generator=np.random.default_rng(0))
        assert torch.equal(mixed, images)
        assert torch.equal(mixed_targets, targets)


def test_none_touches_nothing() -> None:
    images, targets = batch()

    assert mix_batch(images, targets, how="none", generator=np.random.default_rng(0)) == (images, targets)


def test_mixup_by_hand() -> None:
    images, targets = batch(3)
    mixed, mixed_targets = mix_batch(
        images, targets, how="mixup", generator=Fixed(partners=[1, 2, 0], beta=0.75, corner=(0, 0))
    )

    assert mixed[:, 0, 0, 0].tolist() == [0.25, 1.25, 1.5]  # 3/4 of one's own and 1/4 of the partner's
    assert mixed_targets.tolist() == [[0.75, 0.25, 0.0], [0.0, 0.75, 0.25], [0.25, 0.0, 0.75]]


def test_cutmix_by_hand() -> None:
    images, targets = batch(3, size=(8, 12))
    before = images.clone()
    generator = Fixed(partners=[1, 2, 0], uniform=0.75, corner=(1, 2))  # a side of 1/2: 4 x 6 of 8 x 12 pixels
    mixed, mixed_targets = mix_batch(images, targets, how="cutmix", generator=generator)

    expected = np.zeros((8, 12))
    expected[1:5, 2:8] = 1.0
    assert np.array_equal(mixed[0, 0].numpy(), expected)
    assert mixed_targets[0].tolist() == [0.75, 0.25, 0.0]
    assert torch.equal(images, before)  # the loader's own batch is left alone


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(1, 17), st.integers(1, 17))
def test_cutmix_weighs_targets_by_the_pixels_that_are_there(seed: int, n: int, height: int, width: int) -> None:
    images, targets = batch(n, size=(height, width), n_classes=n)
    mixed, mixed_targets = mix_batch(images, targets, how="cutmix", generator=np.random.default_rng(seed))

    for i in range(n):
        counted = np.bincount(mixed[i, 0].numpy().astype(int).ravel(), minlength=n) / (height * width)
        assert mixed_targets[i].numpy() == pytest.approx(counted, abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.sampled_from(["mixup", "cutmix"]))
def test_mass_is_conserved(seed: int, n: int, how: str) -> None:
    _, targets = batch(n)
    images = torch.from_numpy(np.random.default_rng(seed).normal(size=(n, 3, 6, 7)).astype(np.float32))
    mixed, mixed_targets = mix_batch(images, targets, how=how, generator=np.random.default_rng(seed))

    # each image is a partner once and itself once: nothing is lost over the batch, at any pixel
    assert torch.allclose(mixed.sum(0), images.sum(0), atol=1e-4)
    assert torch.allclose(mixed_targets.sum(0), targets.sum(0), atol=1e-5)
    assert torch.allclose(mixed_targets.sum(1), torch.ones(n), atol=1e-6)
    assert bool((mixed_targets >= -1e-7).all())


@pytest.mark.parametrize("how", ["mixup", "cutmix"])
def test_the_same_generator_mixes_alike(how: str) -> None:
    images, targets = batch()
    first, second, other = (
        mix_batch(images, targets, how=how, generator=np.random.default_rng([3, step])) for step in (7, 7, 8)
    )

    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[1], other[1])
