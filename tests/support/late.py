"""Modules that are imported when a test first needs them: pytest imports every test module before it runs one test."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Late:
    """Stands for a module, whose names are had by their attributes alone."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # pytest asks every object of a module whether it is a fixture
            raise AttributeError(attribute)
        return getattr(import_module(self._name), attribute)
