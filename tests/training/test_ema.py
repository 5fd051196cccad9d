"""The moving average, against its closed form in numpy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from onlineml.training.ema import Ema


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def floats(module: nn.Module) -> dict[str, np.ndarray]:
    return {k: v.double().numpy().copy() for k, v in module.state_dict().items() if v.is_floating_point()}


def stir(module: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.state_dict().values():
            if value.is_floating_point():
                value.copy_(torch.randn(value.shape, generator=generator))
            else:
                value.add_(1)


def begun(module: nn.Module, **options: int) -> Ema:
    ema = Ema(**options)
    ema.on_train_start(None, module)
    return ema


@pytest.mark.parametrize(("horizon", "steps"), [(500, list(range(5, 300, 5))), (20, [1, 2, 7, 50, 51]), (1, [3, 4])])
def test_the_closed_form(horizon: int, steps: list[int]) -> None:
    module = network()
    values, ema = [floats(module)], begun(module, horizon=horizon)
    decays, last = [], 0
    for step in steps:
        stir(module, step)
        ema.update(module, step=step)
        values.append(floats(module))
        span = min(horizon, (10 + step) / 9)  # the last ninth, at most the horizon
        decays.append((1 - 1 / span) ** (step - last))
        last = step
    # sum of each value times what it came in with and what is left of it since: no recursion
    shares = [1.0, *(1 - d for d in decays)]
    weights = [shares[i] * np.prod(decays[i:]) for i in range(len(values))]
    assert sum(weights) == pytest.approx(1.0)
    ema.keep(module)

    for name, found in floats(module).items():
        expected = sum(w * v[name] for w, v in zip(weights, values, strict=True))
        assert found == pytest.approx(expected, abs=1e-5), name


def test_swapping_restores_every_bit() -> None:
    module, other = network(), network()
    ema = begun(other)
    stir(module, 1)
    module[0].to(memory_format=torch.channels_last)
    own = {k: v.clone() for k, v in module.state_dict().items()}
    averaged = {k: v.clone() for k, v in other.state_dict().items() if v.is_floating_point()}

    with ema.applied(module):
        assert all(torch.equal(module.state_dict()[k], v) for k, v in averaged.items())
    assert all(torch.equal(module.state_dict()[k], v) for k, v in own.items())
    with pytest.raises(RuntimeError, match="validation failed"), ema.applied(module):
        raise RuntimeError("validation failed")
    assert all(torch.equal(module.state_dict()[k], v) for k, v in own.items())
    with ema.applied(module):  # and the average was not touched by any of it
        assert all(torch.equal(module.state_dict()[k], v) for k, v in averaged.items())


def test_counters_are_no_averages() -> None:
    module = network()
    ema = begun(module)
    stir(module, 1)
    count = int(module[1].num_batches_tracked)
    ema.keep(module)

    assert int(module[1].num_batches_tracked) == count > 0


def test_it_updates_each_so_many_steps() -> None:
    module = network()
    ema, updated = begun(module, every=5), []
    ema.update = lambda module, *, step: (updated.append(step), setattr(ema, "_last_step", step))
    for step in range(1, 23):
        ema.on_train_batch_end(SimpleNamespace(global_step=step), module, None, None, 0)

    assert updated == [5, 10, 15, 20]


def test_a_short_epoch_is_averaged_at_its_end() -> None:
    module = network()
    ema = begun(module, every=10)
    stir(module, 1)
    trainer = SimpleNamespace(global_step=4)
    ema.on_train_batch_end(trainer, module, None, None, 3)
    assert ema._last_step == 0  # not due yet
    ema.on_train_epoch_end(trainer, module)
    assert ema._last_step == 4
    own = floats(module)
    ema.keep(module)

    # (1 - 9/14)^4 = 1.6 % of the start are left
    left = (1 - 9 / 14) ** 4
    start = floats(network())
    for name, found in floats(module).items():
        assert found == pytest.approx(left * start[name] + (1 - left) * own[name], abs=1e-6)


@pytest.mark.parametrize("earlier", [False, True], ids=["now", "a checkpoint of an earlier version"])
def test_its_state_goes_on_elsewhere(earlier: bool) -> None:
    module, elsewhere = network(), network()
    ema = begun(module)
    for step in (5, 10):
        stir(module, step)
        ema.update(module, step=step)
    checkpoint: dict[str, Any] = {"state_dict": {k: v.clone() for k, v in module.state_dict().items()}}
    state, trained = ema.state_dict(), floats(module)
    if earlier:
        state["average"] = [t.clone() for t in ema._average]
    else:
        ema.on_save_checkpoint(None, module, checkpoint)
    other = Ema()
    elsewhere.load_state_dict(checkpoint["state_dict"])  # as a trainer does, in this order
    other.on_load_checkpoint(None, elsewhere, checkpoint)
    other.load_state_dict(state)
    other.on_train_start(None, elsewhere)  # keeps what was loaded
    assert all(np.array_equal(v, trained[k]) for k, v in floats(elsewhere).items())
    for one, its in ((ema, module), (other, elsewhere)):
        stir(its, 15)
        one.update(its, step=15)

    assert all(torch.equal(a, b) for a, b in zip(ema._average, other._average, strict=True))


def test_without_a_step_there_is_nothing_to_keep() -> None:
    module = network()
    before = floats(module)
    Ema().keep(module)

    assert all(np.array_equal(v, before[k]) for k, v in floats(module).items())
