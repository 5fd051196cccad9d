"""The hand-written loop of train_classifier, in a process of its own: as a script that knows nothing of fit.

Run as ``_hand_loop.py BATCHES BACKBONE CLASSES STEPS``: says "ready", and for each line that it reads takes the next
steps and answers with their seconds a step.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import torch
from torch.nn import functional

import onlineml as oml


class ByHand:
    """The plainest loop, some steps at a time; batches are in memory, normalised.

    Args:
        network: trained as `fit` trains it: same optimizer, memory layout and loss.
        batches: float images and labels.
        steps: a call's.
    """

    def __init__(self, network: Any, batches: list[tuple[Any, Any]], *, steps: int) -> None:
        self.network = network.train()
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=2e-3, weight_decay=0.05, fused=True)
        self.batches, self.steps, self.step = batches, steps, 0

    def __call__(self) -> float:
        """Seconds a step of the next ones."""
        time.sleep(0.1)  # for the loader's thread to have its batches ready, and not to work in our time
        begin = time.perf_counter()
        for _ in range(self.steps):
            image, label = self.batches[self.step % len(self.batches)]
            loss = functional.cross_entropy(self.network(image), label, label_smoothing=0.1)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.step += 1
        return (time.perf_counter() - begin) / self.steps


def main() -> None:
    path, backbone, classes, steps = sys.argv[1:]
    model = oml.ImageClassifier(class_names=classes.split(","), backbone=backbone, weights=None, seed=0)
    by_hand = ByHand(model.network, torch.load(path, weights_only=True), steps=int(steps))
    by_hand()  # the first steps are not counted
    print("ready", flush=True)
    for _ in sys.stdin:
        print(by_hand(), flush=True)


if __name__ == "__main__":
    main()
