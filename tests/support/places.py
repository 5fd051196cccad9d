"""Where things are, for tests at any depth."""

from __future__ import annotations

from pathlib import Path

SUPPORT = Path(__file__).parent  # the modules that tests share; on the import path of every test
ROOT = SUPPORT.parents[1]
