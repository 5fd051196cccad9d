"""Training in several processes: the same steps, weights and scores as in one, whatever happens to one of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest
import torch
from torch.distributed import HashStore

import onlineml as oml
from onlineml.errors import ConfigError, OnlineMLError, StoppedError, TooManyBadImagesError, TrainingError
from onlineml.runs.run import Run
from onlineml.training.checkpoints import Checkpoints
from onlineml.training.processes import Processes, connected
from places import ROOT
from processes import LONG_S
from ranks import N_STEPS
from tiny import make_photos
from tiny_boxes import drawn_manifest, tiny_boxes, tiny_detector
from together import At, Workers, small_batches, small_model, train_together

SUPPORT = ROOT / "tests" / "support"
COUNTS = {"train": 24, "val": 6, "test": 6}


@pytest.mark.slow
def test_one_two_and_four_processes_come_to_the_same_weights(tmp_path):
    photos = make_photos(tmp_path / "photos", counts=COUNTS)
    found = {}
    for n in (1, 2, 4):
        command = [sys.executable, str(SUPPORT / "ranks.py"), str(photos), str(tmp_path / f"{n}.pt"), str(n)]
        done = _run(command)
        assert done.returncode == 0, done.stderr
        assert "sync_dist" not in done.stderr
        found[n] = torch.load(tmp_path / f"{n}.pt", weights_only=True)

    alone = found[1]
    assert alone["scores"]["test_accuracy"] > 0.9
    for n in (2, 4):
        assert found[n]["steps"] == alone["steps"] == N_STEPS
        assert found[n]["scores"]["test_accuracy"] == alone["scores"]["test_accuracy"]
        torch.testing.assert_close(found[n]["weights"], alone["weights"], rtol=0, atol=1e-5)


def _run(command):
    own = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(SUPPORT)])}
    return subprocess.run(command, env=own, timeout=4 * LONG_S, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def small_photos(tmp_path_factory):
    return make_photos(tmp_path_factory.mktemp("together") / "photos", counts=COUNTS)


@pytest.fixture(scope="module")
def alone(small_photos, tmp_path_factory):
    """The weights and the rows of one process."""
    model, run = train_together(small_photos, tmp_path_factory.mktemp("alone") / "run", 1)
    return model.state_dict(), run.metrics()


def _same(model, run, alone):
    weights, rows = alone
    torch.testing.assert_close(dict(model.state_dict()), dict(weights), rtol=0, atol=1e-5)
    assert run.status()["state"] == "finished"
    for own, one in zip(run.metrics(), rows, strict=True):
        assert own["epoch"] == one["epoch"]
        assert own["val_accuracy"] == one["val_accuracy"]
        assert own["val_loss"] == pytest.approx(one["val_loss"], abs=1e-5)


def _no_child_is_left():
    assert [c.cmdline() for c in psutil.Process().children(recursive=True) if "spawn_main" in str(c.cmdline())] == []


@pytest.mark.slow
@pytest.mark.parametrize("n", [2, 3, 4])
def test_fit_in_several_processes_is_fit_in_one(small_photos, alone, tmp_path, n):
    model, run = train_together(small_photos, tmp_path / "run", n)

    _same(model, run, alone)
    for own, one in zip(run.metrics(), alone[1], strict=True):
        assert own["train_loss"] == pytest.approx(one["train_loss"], abs=1e-5)
    assert not model.training
    _no_child_is_left()


@pytest.mark.slow
@pytest.mark.parametrize("n_after", [1, 2, 4])
def test_a_killed_process_ends_the_run_which_others_resume(small_photos, alone, tmp_path, monkeypatch, n_after):
    monkeypatch.setitem(Checkpoints.__init__.__kwdefaults__, "every_s", 0.0)  # after each step
    monkeypatch.setattr("onlineml.training.checkpoints._SHARE", 1e9)
    with pytest.raises(TrainingError, match=r"process 2 of 2 was ended by SIGKILL.*call fit\(\) again"):
        train_together(small_photos, tmp_path / "run", 2, callbacks=[At("kill", step=9)])
    status = Run.open(str(tmp_path / "run")).status()
    assert status["state"] == "failed"
    assert "SIGKILL" in status["error"]
    assert (tmp_path / "run" / "last.ckpt").exists()
    _no_child_is_left()

    begun_at = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"]
    assert begun_at in {7, 8}  # that of the step before is kept back until it is proven
    model, run = train_together(small_photos, tmp_path / "run", n_after)
    _same(model, run, alone)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_an_interrupt_stops_all_at_the_same_step(small_photos, alone, tmp_path, name):
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(StoppedError, match="after step 5"):
        train_together(small_photos, tmp_path / "run", 2, callbacks=[At(name, step=5, rank=0)])
    signal.signal(signal.SIGINT, before)
    assert Run.open(str(tmp_path / "run")).status()["state"] == "stopped"
    _no_child_is_left()

    model, run = train_together(small_photos, tmp_path / "run", 1)
    _same(model, run, alone)


@pytest.mark.slow
def test_a_stop_does_not_wait_for_processes_that_are_starting(small_photos, tmp_path):
    run = Run.create(tmp_path / "run")
    run.request_stop()
    with pytest.raises(StoppedError, match="before the training began"):
        train_together(small_photos, run, 2)
    assert run.status()["state"] == "stopped"
    assert not run.stop_requested
    _no_child_is_left()


@pytest.mark.slow
def test_processes_decode_in_others_as_a_single_one_does(small_photos, alone, tmp_path):
    model, run = train_together(small_photos, tmp_path / "run", 2, num_workers=1, callbacks=[Workers(tmp_path)])
    _same(model, run, alone)
    first, second = ((tmp_path / f"workers-{rank}").read_text() for rank in (0, 1))
    assert first == second != ""


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_the_first_error_ends_all(small_photos, tmp_path, rank):
    raised, text = [(ValueError, "oh dear"), (TrainingError, "process 2 of 2 failed: ValueError: oh dear")][rank]
    with pytest.raises(raised, match=text):
        train_together(small_photos, tmp_path / "run", 2, callbacks=[At("oh dear", step=3, rank=rank)])
    status = Run.open(str(tmp_path / "run")).status()
    assert status["state"] == "failed"
    assert "oh dear" in status["error"]
    _no_child_is_left()


@pytest.mark.slow
def test_bad_images_are_found_by_all_and_change_no_weights(small_photos, tmp_path):
    """A process with fewer usable images than the other, or without any, counts for what it has."""
    photos = make_photos(tmp_path / "photos", counts=COUNTS)
    bad = sorted((photos / "train").rglob("*.*"))[::4]
    for path in bad:
        path.write_bytes(b"no image")
    models = [train_together(photos, tmp_path / f"run{n}", n, max_bad=0.5)[0] for n in (1, 2, 4)]
    for model in models[1:]:
        torch.testing.assert_close(dict(model.state_dict()), dict(models[0].state_dict()), rtol=0, atol=1e-5)

    with pytest.raises(TooManyBadImagesError, match="bad, more than max_bad=0"):
        train_together(photos, tmp_path / "run", 2)
    assert Run.open(str(tmp_path / "run")).status()["state"] == "failed"
    _no_child_is_left()


@pytest.mark.slow
def test_a_detectors_loss_does_not_depend_on_who_has_the_objects(tmp_path):
    """Without moving batch norms, whose statistics are those of each process."""
    data = drawn_manifest(tmp_path / "images", counts={"train": 12, "val": 5})
    models, rows = [], []
    for n in (1, 2):
        model, batches = tiny_detector(freeze_bn=True, lr=1e-3), tiny_boxes(data, batch_size=4)
        run = oml.fit(model, batches, run=tmp_path / f"{n}", epochs=3, devices=n, accelerator="cpu", progress="none")
        models.append(model)
        rows.append(run.metrics())
    torch.testing.assert_close(dict(models[1].state_dict()), dict(models[0].state_dict()), rtol=0, atol=1e-4)
    for own, one in zip(rows[1], rows[0], strict=True):
        assert own["train_loss"] == pytest.approx(one["train_loss"], rel=1e-4)


@pytest.mark.slow
def test_torchrun_starts_the_processes(small_photos, alone, tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += [str(SUPPORT / "together.py"), str(small_photos), str(tmp_path)]
    done = _run(command)
    assert done.returncode == 0, done.stderr
    for name in ("first", "second"):
        found = [torch.load(tmp_path / f"{name}-{rank}.pt", weights_only=True) for rank in (0, 1)]
        assert [(one["state"], one["run"]) for one in found] == [("finished", str(tmp_path / name))] * 2
        for one in found:
            torch.testing.assert_close(dict(one["weights"]), dict(alone[0]), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_budget_is_planned_by_the_first_process(small_photos, tmp_path):
    model, run = train_together(small_photos, tmp_path / "run", 2, epochs=None, budget_s=20)
    assert run.status()["state"] == "finished"
    assert run.metrics()[-1]["progress"] == 1.0
    assert not model.training


class OddError(Exception):
    """Cannot be unpickled: its text is not what it is made of."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first}-{second}")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("Read error: Connection reset by peer"), "process 2 of 3 was ended by SIGKILL; call fit"),
        (ValueError("oh dear"), "^process 3 of 3 failed: ValueError: oh dear$"),
        (OddError("oh", "dear"), "^process 3 of 3 failed: OddError: oh-dear$"),
        (SystemExit(3), "^process 3 of 3 failed: SystemExit: 3$"),
        (ConfigError("no such thing"), "^no such thing$"),
    ],
)
def test_the_first_process_blames_who_failed_not_who_noticed(error, told):
    store = HashStore()
    first, third = Processes(0, 3), Processes(2, 3)
    for one in (first, third):
        one.store, one.deaths = store, lambda: "process 2 of 3 was ended by SIGKILL"
    with pytest.raises(BaseException, match=r".") as raised, third.told():
        raise error
    assert raised.value is error or isinstance(raised.value, TrainingError)

    with pytest.raises(OnlineMLError, match=told), first.told():
        raise RuntimeError("Read error: Connection closed by peer")


def test_errors_after_a_training_look_as_ever():
    before = sys.excepthook
    with connected(Processes(0, 1), HashStore(), on_gpu=False):
        pass
    assert sys.excepthook is before


def test_devices_are_checked_before_any_work(small_photos, tmp_path):
    data = oml.Manifest.from_folders(str(small_photos))
    model, batches = small_model(data), small_batches(data)

    def refused(text, into=batches, **options):
        with pytest.raises(ConfigError, match=text):
            oml.fit(model, into, run=tmp_path / "run", epochs=1, accelerator="cpu", **options)
        assert not (tmp_path / "run").exists()

    refused("devices=0: expected their number, at least 1", devices=0)
    refused("devices=True", devices=True)
    refused("devices=-1", devices=-1)
    refused("strategy='fsdp'", strategy="fsdp")
    refused("num_nodes=2: .* torchrun --nnodes=2", num_nodes=2)
    refused("17 processes need at least 17 images for each step; found a batch_size of 16", devices=17)
    refused("cannot be sent to other processes", devices=2, callbacks=[_unsendable()])


def _unsendable():
    class Local(At): ...

    return Local("nothing", step=0)


def test_a_launcher_decides_how_many(small_photos, tmp_path, monkeypatch):
    data = oml.Manifest.from_folders(str(small_photos))
    for name, value in {"RANK": 1, "WORLD_SIZE": 4, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    with pytest.raises(ConfigError, match=r"devices=3.*the launcher started 2 processes on each of 2 machines"):
        oml.fit(small_model(data), small_batches(data), run=tmp_path / "run", epochs=1, devices=3, accelerator="cpu")


@pytest.mark.slow
def test_a_script_without_a_guard_is_refused(small_photos, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, onlineml as oml\n"
        "from together import train_together\n"
        f"train_together({str(small_photos)!r}, {str(tmp_path / 'run')!r}, 2)\n"
    )
    done = _run([sys.executable, str(script)])
    assert "put what the script does under if __name__ == '__main__':" in done.stderr
    assert not (tmp_path / "run").exists()
