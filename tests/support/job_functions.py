"""Functions that the tests submit as jobs, as a user's own package would have them."""

from __future__ import annotations

import math
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any


def greet(run: Any, project: Any, *, name: str, times: int = 1) -> dict[str, Any]:
    """Prints, logs figures, and says what it was given."""
    for step in range(times):
        sys.stdout.write(f"hello {name}\n")
        run.log_metrics({"step": step, "progress": (step + 1) / times})
    sys.stderr.write("and an aside\n")
    os.system("echo from a child")  # noqa: S605
    return {
        "project": project.url,
        "pid": os.getpid(),
        "session": os.getsid(0),
        "stdin": sys.stdin.read(),
        "undefined": math.nan,
        "secret_in_environment": [name for name, value in os.environ.items() if "hunter2" in value],
    }


def wait_for(run: Any, project: Any, *, path: str, most_s: float = 600.0) -> dict[str, Any]:
    """Does nothing until a file is there; takes no care of requests to stop."""
    sys.stdout.write("waiting\n")
    sys.stdout.flush()
    end = time.monotonic() + most_s
    while not Path(path).exists():
        if time.monotonic() > end:
            raise TimeoutError(path)
        time.sleep(0.05)
    return {"found": path}


def fail_once(run: Any, project: Any, *, marker: str) -> str:
    """Fails unless it failed before."""
    if not Path(marker).exists():
        Path(marker).touch()
        raise RuntimeError("no luck at first")
    return "well"


def leave(run: Any, project: Any, *, code: int) -> None:
    """Ends its process by itself."""
    sys.exit(code)


def learn(run: Any, project: Any, *, photos: str, step_s: float = 0.0, epochs: int = 3) -> dict[str, Any]:
    """A tiny training that stores a checkpoint after each step, and takes its time over each."""
    import torch

    import onlineml as oml
    from onlineml.data.loading.lightning import pl
    from onlineml.training import checkpoints, training
    from tiny import stirred, tiny_data

    class Slow(pl.Callback):
        def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
            sys.stdout.write(f"step {trainer.global_step}\n")
            sys.stdout.flush()
            time.sleep(step_s)

    torch.set_num_threads(1)
    checkpoints._SHARE = math.inf
    training.Checkpoints = partial(checkpoints.Checkpoints, every_s=0.0)
    manifest = oml.Manifest.from_folders(photos)
    oml.fit(stirred(), tiny_data(manifest, cache=False), run=run, epochs=epochs, callbacks=[Slow()])
    return {"state": run.status()["state"]}


def tell(run: Any, project: Any, *, fails: Any = False) -> dict[str, Any]:
    """Prints, logs, returns and raises what it was given to open its storage."""
    options = dict(run.location.options or {})
    for number in range(3):
        sys.stdout.write(f"{number} {run.url} {options}\n")
    run.log_line(f"{options}")
    run.log_metrics({"step": 1, "note": f"{options}"})
    run.set_status("running", facts={"options": f"{options}"})
    if fails:
        raise ValueError(f"{options}") from KeyError(options["secret"])
    return {"options": options, "at": [run.url]}
