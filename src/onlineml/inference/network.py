"""A model's network as an engine runs it, and the choice of the engine that answers fastest."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import torch

from onlineml.arguments.checks import one_of
from onlineml.inference.choosing import Memory, fastest
from onlineml.inference.engines import (
    ENGINES,
    graph_of,
    have_hooks,
    installed_runtimes,
    opened_graph,
    refused,
    require_installed,
    why_eager,
    why_not_auto,
)
from onlineml.lazy import told_if_slow
from onlineml.tasks.base import VisionModule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from onlineml.inference.choosing import Choice, Opened
    from onlineml.inference.engines import Graph

__all__ = ["Answers", "Network"]

T = TypeVar("T")

_COST_S = 20.0  # of writing a graph (17 s of one core for MobileNetV3-small), opening it and comparing it
_SAVED = 0.3  # share of the time that another engine saves, where it is worth it at all


@dataclass(frozen=True)
class Answers(Generic[T]):
    """Functions that give, read and compare the answers of a task.

    Attributes:
        eager: torch's answers for (B, 3, H, W) uint8 RGB on the CPU.
        read: the same from the outputs of the graph, by name.
        difference: of two answers for the same images, in words; "" where they are equal.
    """

    eager: Callable[[Tensor], T]
    read: Callable[[Mapping[str, NDArray[Any]]], T]
    difference: Callable[[T, T], str]


_MEMORY = Memory()


class Network(Generic[T]):
    """Answers of a model for batch after batch, from the engine that was asked for, or from the fastest.

    With ``"auto"``, torch answers first. Once more is ahead, or was done, than finding a faster engine costs, the
    runtimes that are installed answer the same batch, and the fastest of those whose answers are equal does the rest:
    the same class, probabilities and scores within 1e-4, boxes within 0.1 pixels. What was chosen is remembered in this
    process for these weights, this batch size and this number of threads. Left to torch are models on a GPU, networks
    of the user's own, modules with methods of their own between pixels and answers, hooks and weights of other than 32
    bits; and a model whose weights, class names, calibration or device change meanwhile, until it is worth another
    choice.

    Args:
        model: of ours, or another, which answers by itself.
        answers: of its task.
        engine: one of `onlineml.inference.engines.ENGINES`.
        batch_size: of all batches but the last.
        n_images: tells the number of all images, when it is asked; None where it is unknown.
        may_pause: whether a stop of some seconds does no harm.

    Attributes:
        engine: name of the engine that answers now.
        rates: images per second by engine, where they were measured.

    Raises:
        ConfigError: there is no such engine, or it cannot run this model.
        MissingDependencyError: it is not installed.
    """

    def __init__(
        self,
        model: Any,
        answers: Answers[T],
        *,
        engine: str,
        batch_size: int,
        n_images: Callable[[], int | None],
        may_pause: bool,
    ) -> None:
        self.model, self.answers = model, answers
        self.wanted = one_of("engine", engine, ENGINES)
        self.batch_size, self.n_images, self.may_pause = batch_size, n_images, may_pause
        self._tensors: list[Tensor] = []
        self._modules: list[torch.nn.Module] = []
        self._state: Any = None
        self._begin()
        if self.wanted not in ("auto", "eager"):
            self._open_wanted()

    def _begin(self) -> None:
        self.engine = "eager"
        self.rates: Mapping[str, float] = {}
        self._open: Opened | None = None
        self._is_decided = False
        self._n = 0
        self._spent_s = 0.0

    def __call__(self, image: Tensor) -> T:
        """Return the answers for (B, 3, H, W) uint8 RGB images on the CPU, channels last in memory.

        Raises:
            ConfigError: the engine that was asked for by name answers otherwise than torch.
        """
        if self.wanted == "eager" or not isinstance(self.model, VisionModule):
            return self.answers.eager(image)
        is_new = self._state is None and (self.wanted != "auto" or _MEMORY.choices)
        if is_new or self._open is not None:
            self._notice_changes()
        if self._open is not None:
            return self._by_graph(self._open, image)
        begin = time.perf_counter()
        found = self.answers.eager(image)
        self._spent_s += time.perf_counter() - begin
        self._n += len(image)
        if not self._is_decided and self._is_worth_it():
            self._choose(image, found)
        return found

    def _by_graph(self, opened: Opened, image: Tensor) -> T:
        try:
            found = _run(opened.run, self.answers, image)
        except Exception:  # runtimes' errors have no common base
            if self.wanted != "auto":
                raise
            self._begin()
            self._is_decided = True
            return self.answers.eager(image)
        if not opened.is_compared:  # one that was asked for by name
            if difference := self.answers.difference(found, self.answers.eager(image)):
                raise refused(self.wanted, f"it answers otherwise than torch: {difference}")
            opened.is_compared = True
        return found

    # ---- what the answers depend on ----

    def _notice_changes(self) -> None:
        """Begin anew where the model is another than at the last batch."""
        if self._state is not None and self._look() == self._state:
            return
        self._begin()
        self._see()
        if self.wanted != "auto":
            self._open_wanted()
        elif _MEMORY.choices and not why_eager(self.model):
            self._remember()

    def _see(self) -> None:
        model = self.model
        self._tensors = [one for one in (*model.parameters(), *model.buffers()) if not one.is_inference()]
        self._modules = list(model.modules())
        self._state = self._look()

    def _look(self) -> Any:
        """Return what tells quickly that the model has changed: of weights, torch's count of writes."""
        model = self.model
        facts = (id(model.network), model.class_names, model.size_hw, id(model.calibration), model.alter is None)
        around = (torch.get_num_threads(), torch.is_autocast_enabled("cpu"), have_hooks(self._modules))
        writes = [(one.data_ptr(), one._version) for one in self._tensors]  # noqa: SLF001 - torch's count
        return facts, _limits(model), around, writes

    def _key(self) -> Any:
        """Return all that decides the answers of the graph and how long they take."""
        model = self.model
        return os.getpid(), torch.get_num_threads(), model.fingerprint(), model.temperature, _limits(model)

    # ---- an engine by name ----

    def _open_wanted(self) -> None:
        if reason := why_eager(self.model):
            raise refused(self.wanted, reason)
        require_installed(self.wanted)
        self._open, self.engine = self._opened(self.wanted, partial(graph_of, self.model)), self.wanted

    def _opened(self, runtime: Any, written: Callable[[], tuple[bytes, tuple[str, ...]]]) -> Opened:
        def make() -> Graph:
            with told_if_slow(f"Preparing the network for {runtime}, once for these weights"):
                return opened_graph(*written(), runtime=runtime)

        return _MEMORY.graph((runtime, self._key()), make)

    # ---- the fastest engine ----

    def _remember(self) -> None:
        key = self._key()
        choice = _MEMORY.choices.get((self.batch_size, key))
        if choice is not None and (choice.engine == "eager" or (choice.engine, key) in _MEMORY.graphs):
            self._take(choice)

    def _take(self, choice: Choice) -> None:
        self._is_decided = True
        self.engine, self.rates = choice.engine, choice.rates
        self._open = None if choice.engine == "eager" else self._opened(choice.engine, partial(graph_of, self.model))

    def _is_worth_it(self) -> bool:
        """Return whether finding the fastest engine takes less time than it may save."""
        if not self.may_pause:
            return False
        n_images = self.n_images()
        if n_images is None:  # as much may be ahead as was done
            return self._spent_s > _COST_S
        return (n_images - self._n) * self._spent_s / self._n * _SAVED > _COST_S

    def _choose(self, image: Tensor, wanted: T) -> None:
        self._is_decided = True
        if why_eager(self.model) or why_not_auto(self.model) or not _MEMORY.lock.acquire(blocking=False):
            return
        try:
            self._see()
            key, written = self._key(), cache(partial(graph_of, self.model))
            sides: dict[str, Callable[[], Any]] = {"eager": partial(self.answers.eager, image)}
            for runtime in installed_runtimes():
                try:
                    opened = self._opened(runtime, written)
                    if not self.answers.difference(_run(opened.run, self.answers, image), wanted):
                        opened.is_compared = True
                        sides[runtime] = partial(_run, opened.run, self.answers, image)
                except Exception:  # noqa: BLE001, S112 - torch answers all; runtimes' errors have no common base
                    continue
            choice = fastest(sides, len(image))
            for runtime in installed_runtimes():
                if runtime != choice.engine:
                    _MEMORY.graphs.pop((runtime, key), None)
            _MEMORY.choose((self.batch_size, key), choice)
            self._take(choice)
        finally:
            _MEMORY.lock.release()


def _limits(model: Any) -> Any:
    """Return what decides a detector's answers beside its weights."""
    return str(model.device), getattr(model, "max_objects", None), repr(getattr(model, "tiles", None))


def _run(graph: Graph, answers: Answers[T], image: Tensor) -> T:
    return answers.read(graph(np.ascontiguousarray(image.permute(0, 2, 3, 1).numpy())))
