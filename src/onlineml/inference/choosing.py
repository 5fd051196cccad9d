"""Measurement of engines, and what a process remembers of them: open graphs and choices."""

from __future__ import annotations

import statistics
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from onlineml.inference.engines import Graph

__all__ = ["Choice", "Memory", "Opened", "fastest"]

_MEASURED_S = 1.0
_LEAST_RUNS = 2
_BETTER = 0.95  # share of torch's time below which another engine is worth it
_GRAPHS = 4  # that are open at a time, each as large as the weights
_CHOICES = 64


@dataclass
class Opened:
    """A graph in a runtime.

    Attributes:
        run: its answers.
        is_compared: whether these were found to be equal to torch's.
    """

    run: Graph
    is_compared: bool = False


@dataclass(frozen=True)
class Choice:
    """The engine that was chosen.

    Attributes:
        engine: its name.
        rates: images per second by engine.
    """

    engine: str
    rates: Mapping[str, float]


class Memory:
    """The open graphs and the choices of a process, the latest ones, by all that decides them.

    Attributes:
        lock: held while a graph is written, one at a time.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.graphs: OrderedDict[Any, Opened] = OrderedDict()
        self.choices: OrderedDict[Any, Choice] = OrderedDict()

    def graph(self, key: Any, make: Callable[[], Graph]) -> Opened:
        """Return an open graph, made where there is none."""
        with self.lock:
            found = self.graphs.pop(key, None) or Opened(make())
            self.graphs[key] = found
            while len(self.graphs) > _GRAPHS:
                self.graphs.popitem(last=False)
            return found

    def choose(self, key: Any, choice: Choice) -> None:
        """Remember a choice."""
        with self.lock:
            self.choices[key] = choice
            while len(self.choices) > _CHOICES:
                self.choices.popitem(last=False)


def fastest(sides: Mapping[str, Callable[[], Any]], n_images: int) -> Choice:
    """Measure engines in turn; torch stays unless another is clearly faster.

    Args:
        sides: by engine, what answers the same batch; torch is ``"eager"``.
        n_images: of the batch.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    end = time.perf_counter() + _MEASURED_S
    while len(times["eager"]) < _LEAST_RUNS or time.perf_counter() < end:
        for name, side in sides.items():
            begin = time.perf_counter()
            side()
            times[name].append(time.perf_counter() - begin)
    usual = {name: statistics.median(found) for name, found in times.items()}
    best = min(usual, key=usual.__getitem__)
    if usual[best] > _BETTER * usual["eager"]:
        best = "eager"
    return Choice(best, {name: n_images / seconds for name, seconds in usual.items()})
