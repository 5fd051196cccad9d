"""The linear probe, against scikit-learn's logistic regression."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from late import Late
from onlineml.training.probe import collect_features, fit_linear_head, probe_head
from tiny import tiny_data, tiny_model

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

linear_model = Late("sklearn.linear_model")
metrics = Late("sklearn.metrics")


def blobs(n: int = 240, n_classes: int = 4, n_features: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(n_classes, n_features))
    labels = rng.integers(0, n_classes, n)
    labels[:n_classes] = np.arange(n_classes)
    features = centres[labels] + rng.normal(size=(n, n_features))
    return torch.from_numpy(features.astype(np.float32)), torch.from_numpy(labels)


def reference(
    features: torch.Tensor, labels: torch.Tensor, *, penalty: float, weights: list[float] | None = None
) -> LogisticRegression:
    """Scikit-learn minimises C * sum of losses + half the squared weights; ours a mean + penalty / classes."""
    n_classes = int(labels.max()) + 1
    total = len(labels) if weights is None else float(sum(weights[i] for i in labels.tolist()))
    found = linear_model.LogisticRegression(
        C=n_classes / (2 * penalty * total),
        tol=1e-10,
        max_iter=5000,
        class_weight=None if weights is None else dict(enumerate(weights)),
    )
    return found.fit(features.double().numpy(), labels.numpy())


@pytest.mark.parametrize("penalty", [1e-1, 1e-2, 1e-3])
@pytest.mark.parametrize("weights", [None, [1.0, 3.0, 0.5, 1.0]])
def test_it_agrees_with_scikit_learn(penalty: float, weights: list[float] | None) -> None:
    features, labels = blobs()
    others, _ = blobs(seed=1, n=1000)
    loss = tiny_model(class_names=["a", "b", "c", "d"], class_weights=weights).head_loss
    weight, bias = fit_linear_head(features, labels, num_classes=4, penalty=penalty, loss=loss)
    expected = reference(features, labels, penalty=penalty, weights=weights)

    found = torch.softmax(others @ weight.T + bias, 1).numpy()
    assert found == pytest.approx(expected.predict_proba(others.numpy()), abs=5e-3)
    assert np.mean(found.argmax(1) == expected.predict(others.numpy())) >= 0.999
    assert weight.numpy() == pytest.approx(expected.coef_, abs=2e-2)


def test_it_starts_where_it_is_told_to() -> None:
    features, labels = blobs()
    first = fit_linear_head(features, labels, num_classes=4, penalty=1e-2)
    kept = [t.clone() for t in first]
    again = fit_linear_head(features, labels, num_classes=4, penalty=1e-2, start=first)

    assert all(torch.equal(a, b) for a, b in zip(first, kept, strict=True))  # the start is not written to
    assert again[0].numpy() == pytest.approx(first[0].numpy(), abs=5e-3)


def test_features_are_what_the_head_is_given(manifest) -> None:
    model = tiny_model(dropout=0.5, norm=True)
    model.train()
    model.network.features[1].eval()
    modes = [m.training for m in model.modules()]
    data = tiny_data(manifest)
    features, labels = collect_features(model, model.head, data.loader("val"))

    assert [m.training for m in model.modules()] == modes
    assert not model.head._forward_pre_hooks
    batches = list(data.loader("val"))
    model.eval()
    with torch.no_grad():
        images = model.normalize(torch.cat([b["image"] for b in batches]))
        expected = model.network.features(images).mean((2, 3))
    assert torch.allclose(features, expected, atol=1e-5)
    assert torch.equal(labels, torch.cat([b["label"] for b in batches]))
    assert features.requires_grad is False
    features.add_(1)  # an ordinary tensor: not one of inference mode


def test_it_stops_when_there_is_enough(manifest) -> None:
    model, asked = tiny_model(), []
    features, labels = collect_features(
        model, model.head, tiny_data(manifest).loader("train"), enough=lambda n: asked.append(n) or n >= 16
    )

    assert asked == [8, 16]
    assert len(features) == len(labels) == 16


def test_the_head_gets_the_best_penalty_on_features_as_they_come() -> None:
    model = tiny_model(class_names=["a", "b", "c", "d"])
    head = torch.nn.Linear(6, 4)
    train, val = blobs(n=60), blobs(seed=1, n=200)
    scale, shift = torch.tensor([1.0, 100.0, 0.1, 5.0, 1.0, 3.0]), torch.tensor([0.0, 9.0, -1.0, 50.0, 0.0, 1.0])
    train, val = ((x * scale + shift, y) for x, y in (train, val))  # far from standardised
    probe = probe_head(model, head, train, val)

    mean, deviation = train[0].mean(0), train[0].std(0, unbiased=False)
    losses = {}
    for penalty in (1e-1, 1e-2, 1e-3, 1e-4):
        fitted = reference((train[0] - mean) / deviation, train[1], penalty=penalty)
        losses[penalty] = metrics.log_loss(val[1].numpy(), fitted.predict_proba(((val[0] - mean) / deviation).numpy()))
    best = min(losses, key=losses.get)
    with torch.no_grad():
        logits = head(val[0])
    assert probe.penalty == best
    assert probe.metrics["val_loss"] == pytest.approx(losses[best], abs=0.02)
    assert probe.metrics["val_loss"] == pytest.approx(
        float(torch.nn.functional.cross_entropy(logits, val[1])), abs=1e-4
    )
    assert probe.metrics["val_accuracy"] == pytest.approx(float((logits.argmax(1) == val[1]).float().mean()))


def test_without_validation_images_the_penalty_is_a_middling_one() -> None:
    model = tiny_model(class_names=["a", "b", "c", "d"])
    head = torch.nn.Linear(6, 4)
    features, labels = blobs()
    features[:, 2] = 7.0  # a feature that says nothing divides by nothing
    probe = probe_head(model, head, (features, labels), None)

    assert probe.penalty == 1e-2
    assert probe.metrics == {}
    assert bool(torch.isfinite(head.weight).all())
    told = [0, 1, 3, 4, 5]
    standardised = (features - features.mean(0))[:, told] / features.std(0, unbiased=False)[told]
    expected = reference(standardised, labels, penalty=1e-2).predict(standardised.numpy())
    with torch.no_grad():
        assert np.mean(head(features).argmax(1).numpy() == expected) >= 0.99


def test_features_that_hardly_vary_do_not_decide() -> None:
    """Two of them have deviations of 1e-6; without a floor their weights are of the order of 1e5."""
    model = tiny_model(class_names=["a", "b", "c", "d"])
    head = torch.nn.Linear(8, 4)
    (train, labels), (val, val_labels) = blobs(n=60), blobs(seed=1, n=200)
    still = torch.nn.functional.one_hot(labels, 4)[:, :2] * 2e-6 + torch.tensor([3.0, 0.0])
    of_val = torch.nn.functional.one_hot(val_labels, 4)[:, :2] * 2e-6 + torch.tensor([3.0, 0.0])
    val = torch.cat([val, of_val], 1)
    probe_head(model, head, (torch.cat([train, still], 1), labels), (val, val_labels))
    assert float(head.weight.detach().abs().max()) < 1000
    with torch.no_grad():
        before = (head(val).argmax(1) == val_labels).double().mean()
        brighter = (head(val + torch.tensor([0.0] * 6 + [0.01] * 2)).argmax(1) == val_labels).double().mean()
    assert brighter >= before - 0.01


def test_a_head_that_is_better_as_it_is_stays() -> None:
    model = tiny_model(class_names=["a", "b", "c", "d"])
    head = torch.nn.Linear(6, 4)
    train, val = blobs(n=60), blobs(seed=1, n=200)
    good = fit_linear_head(*val, num_classes=4, penalty=1e-4)  # knows the answers
    with torch.no_grad():
        head.weight.copy_(good[0])
        head.bias.copy_(good[1])
    wrong = (train[0], (train[1] + 1) % 4)
    probe = probe_head(model, head, wrong, val)
    assert torch.equal(head.weight, good[0])
    assert np.isnan(probe.penalty)
    assert probe.metrics["val_accuracy"] > 0.7
