"""Attacks on a reader with damaged documents: a few in each test run, or as many as fit into a given time."""

from __future__ import annotations

import os
import re
import time
import traceback
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from damage import damaged
from onlineml.errors import OnlineMLError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["attack"]

_SECONDS = "ONLINEML_FUZZ_SECONDS"  # for each reader
_FEW = 6
_ENTRY = "entry [0-9A-Z]{26} of"  # of a log
_SLOW_S = 5.0  # of the processor; no damaged document of a few kilobytes needs as much


def attack(files: Mapping[Path, bytes], read: Callable[[], object], *, long: bool = False, named: str = _ENTRY) -> None:
    """Damage one file at a time; only our errors may come out of reading, soon, and they must name a file.

    Args:
        files: what is written at each path; those that are damaged.
        read: reads them.
        long: go on for the seconds in the environment, 60 by default.
        named: expression for what a message may name in place of a file.
    """
    found: dict[str, str] = {}

    def once(data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(sorted(files)))
        content = data.draw(damaged(files[path]))
        path.write_bytes(content)
        begun = time.process_time()
        try:
            read()
        except OnlineMLError as error:
            names = any(
                one.name in str(error) or any(str(up) in str(error) for up in one.parents[:-2]) for one in files
            )
            if not names and not re.search(named, str(error)):
                found.setdefault(f"no file is named: {error!s:.100}", f"{path.name}: {content[:500]!r}")
        except Exception as error:  # noqa: BLE001 (none may come out)
            found.setdefault(_where(error), f"{path.name}: {error!s:.200}: {content[:500]!r}")
        finally:
            path.write_bytes(files[path])
        if time.process_time() - begun > _SLOW_S:
            found.setdefault(f"{path.name} takes too long", f"{content[:500]!r}")

    end = time.monotonic() + float(os.environ.get(_SECONDS, "60"))
    n_rounds = 0
    while n_rounds == 0 or (long and time.monotonic() < end):
        n_rounds += 1
        some = settings(
            max_examples=200 if long else _FEW,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        seed(n_rounds)(some(given(st.data())(once)))()
    assert not found, "\n".join(f"- {where}\n  {what}" for where, what in found.items())


def _where(error: Exception) -> str:
    frames = [one for one in traceback.extract_tb(error.__traceback__) if "onlineml/" in one.filename]
    at = " < ".join(f"{one.filename.rpartition('onlineml/')[2]}:{one.lineno}" for one in frames[:-4:-1])
    return f"{type(error).__name__} at {at}"
