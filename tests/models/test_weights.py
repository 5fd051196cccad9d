"""Reading weights: what torch itself saved, in every wrapping; nothing that runs code; no fit that is not strict."""

from __future__ import annotations

import io as bytes_io
import pickle
import uuid
import zipfile
from pathlib import Path

import fsspec
import pytest
import torch
from safetensors.torch import save as save_safetensors
from torch import nn

from onlineml.errors import WeightsError
from onlineml.models.weights import load_into, read_state_dict, with_versions
from onlineml.storage.location import Location


class Net(nn.Module):
    """A body, a norm with a counter, and a head."""

    def __init__(self, n: int = 3, *, width: int = 4) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, width, 3)
        self.norm = nn.BatchNorm2d(width)
        self.head = nn.Linear(width, n)


class Wrapped(nn.Module):
    """A network whose every name starts as a wrapper's would."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Net()


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return Net().state_dict()


def _same(found: dict, expected: dict) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[k], expected[k]) for k in expected)


def _saved(value: object) -> bytes:
    buffer = bytes_io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("wrapper", ["", "state_dict", "model_state_dict", "model", "model_ema"])
def test_wrapped_state_dicts(tmp_path: Path, state: dict, wrapper: str):
    value = {wrapper: state, "epoch": 3, "optimizer": {"lr": [0.1]}} if wrapper else state
    (tmp_path / "w.pth").write_bytes(_saved(value))
    assert _same(read_state_dict(str(tmp_path / "w.pth")), state)


def test_doubly_wrapped(tmp_path: Path, state: dict):
    (tmp_path / "w.pth").write_bytes(_saved({"state_dict": {"model": state}}))
    assert _same(read_state_dict(str(tmp_path / "w.pth")), state)


@pytest.mark.parametrize("name", ["w.safetensors", "W.SAFETENSORS"])
def test_safetensors(tmp_path: Path, state: dict, name: str):
    (tmp_path / name).write_bytes(save_safetensors(dict(state)))
    assert _same(read_state_dict(str(tmp_path / name)), dict(state))


def test_on_any_filesystem(state: dict):
    url = f"memory://weights-{uuid.uuid4().hex}/w.pth"
    fsspec.filesystem("memory").pipe_file(url, _saved(state))
    assert _same(read_state_dict(url), state)


@pytest.mark.s3
def test_with_the_stores_options(s3_server, state: dict):
    url = f"{s3_server.new_bucket()}/w.pth"
    fsspec.url_to_fs(url, **s3_server.storage_options)[0].pipe_file(url, _saved(state))
    assert _same(read_state_dict(Location(url, s3_server.storage_options)), state)


@pytest.mark.parametrize("url", ["nowhere.pth", "memory://nowhere/w.safetensors"])
def test_nothing_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WeightsError, match=rf"no weights at {url}: expected .* pass weights='random' to start"):
        read_state_dict(url)


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("how", ["torch", "pickle", "inside", "legacy"])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path, state: dict, how: str):
    sign = tmp_path / "it ran"
    if how == "pickle":
        data = pickle.dumps(Trap(sign))
    elif how == "legacy":
        buffer = bytes_io.BytesIO()
        torch.save(Trap(sign), buffer, _use_new_zipfile_serialization=False)
        data = buffer.getvalue()
    else:
        data = _saved(Trap(sign) if how == "torch" else {"state_dict": state, "callback": Trap(sign)})
    (tmp_path / "w.pth").write_bytes(data)
    with pytest.raises(WeightsError, match=r"cannot be read as weights .*tensors only; save it again with"):
        read_state_dict(str(tmp_path / "w.pth"))
    assert not sign.exists()
    if how == "pickle":  # the trap is one
        pickle.loads(data)  # noqa: S301
        assert sign.exists()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize(
    "data", [b"", b"\0", b"no weights", b"PK\x03\x04", b"\x80\x02", b"<html></html>" * 99, b"\xff" * 64]
)
def test_what_is_no_weights_file(tmp_path: Path, name: str, data: bytes):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(WeightsError, match=r"w\.\w+ cannot be read as weights \(.+\): expected \.safetensors, or"):
        read_state_dict(str(tmp_path / name))


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_cut_and_damaged_files(tmp_path: Path, state: dict, name: str):
    """Each is refused, or read with the right names, and a .pth with the right numbers: safetensors has no checksum."""
    whole = _saved(state) if name == "w.pth" else save_safetensors(dict(state))
    path = tmp_path / name
    generator = torch.Generator().manual_seed(1)
    for length in range(0, len(whole), len(whole) // 40):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match="cannot be read as weights"):
            read_state_dict(str(path))
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[int(torch.randint(len(whole), (), generator=generator))] ^= 0x55
        path.write_bytes(damaged)
        try:
            found = read_state_dict(str(path))
        except WeightsError:
            continue
        assert all(isinstance(value, torch.Tensor) for value in found.values())
        assert name == "w.safetensors" or all(torch.equal(found[key], value) for key, value in state.items())


def test_a_file_without_checksums_is_read(tmp_path: Path, state: dict):
    torch.serialization.set_crc32_options(False)
    try:
        (tmp_path / "w.pth").write_bytes(_saved(state))
    finally:
        torch.serialization.set_crc32_options(True)
    assert read_state_dict(tmp_path / "w.pth").keys() == state.keys()


def test_a_record_that_is_larger_than_its_file_is_not_unpacked(tmp_path: Path, state: dict):
    with zipfile.ZipFile(bytes_io.BytesIO(_saved(state))) as saved, zipfile.ZipFile(tmp_path / "w.pth", "w") as bomb:
        for record in saved.infolist():
            bomb.writestr(record.filename, saved.read(record))
        bomb.writestr("archive/data/9", bytes(10**6), compress_type=zipfile.ZIP_DEFLATED)
    with pytest.raises(WeightsError, match=r"'archive/data/9' declares 1,000,000 of [\d,]+ bytes"):
        read_state_dict(tmp_path / "w.pth")


@pytest.mark.parametrize("value", [torch.zeros(3), {}, [torch.zeros(3)], {"a": torch.zeros(3), "b": 4}, 7])
def test_what_is_no_state_dict(tmp_path: Path, value: object):
    (tmp_path / "w.pth").write_bytes(_saved(value))
    with pytest.raises(WeightsError, match=rf"contains a {type(value).__name__}, not a state dict of tensors; save it"):
        read_state_dict(str(tmp_path / "w.pth"))


def test_all_but_the_head_is_loaded(state: dict):
    torch.manual_seed(1)
    net = Net(7)
    fresh = {key: value.clone() for key, value in net.state_dict().items()}
    load_into(net, state, head="head", source="w.pth")
    for key, value in net.state_dict().items():
        assert torch.equal(value, fresh[key] if key.startswith("head.") else state[key]), key


def test_an_old_head_may_be_absent_and_counters_too(state: dict):
    some = {k: v for k, v in state.items() if not k.startswith("head.") and k != "norm.num_batches_tracked"}
    net = Net(7)
    load_into(net, some, head="head", source="w.pth")
    assert torch.equal(net.body.weight, state["body.weight"])


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "network.", "module._orig_mod."])
def test_prefixes_of_wrappers(state: dict, prefix: str):
    net = Net(7)
    load_into(net, {prefix + key: value for key, value in state.items()}, head="head", source="w.pth")
    assert torch.equal(net.body.weight, state["body.weight"])


def test_a_network_whose_own_names_start_as_a_wrappers():
    torch.manual_seed(0)
    given, net = Wrapped().state_dict(), Wrapped()
    load_into(net, given, head="model.head", source="w.pth")
    assert torch.equal(net.model.body.weight, given["model.body.weight"])
    assert not torch.equal(net.model.head.weight, given["model.head.weight"])


def test_what_does_not_fit_is_named_and_changes_nothing(state: dict):
    net = Net()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    wrong = {k: v for k, v in state.items() if k != "body.bias"} | {"tail.weight": torch.zeros(1)}
    wrong["norm.bias"] = torch.zeros(9)
    message = (
        r"s3://b/w\.pth does not fit Net: 1 tensor missing \(body\.bias\); 1 tensor unknown \(tail\.weight\); "
        r"1 tensor of another shape \(norm\.bias\); set backbone= to the network of these weights"
    )
    with pytest.raises(WeightsError, match=message):
        load_into(net, wrong, head="head", source="s3://b/w.pth")
    assert _same(net.state_dict(), before)
    many = {f"x{i}": torch.zeros(1) for i in range(9)} | dict(state)
    with pytest.raises(WeightsError, match=r"9 tensors unknown \(x0, x1, x2, …\)"):
        load_into(net, many, head="head", source="w.pth")


def test_versions_of_modules_are_given_back():
    class Versioned(nn.Linear):
        _version = 5
        seen: int | None = None

        def _load_from_state_dict(self, state_dict, prefix, local_metadata, *args):
            self.seen = local_metadata.get("version")
            super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    net = Versioned(2, 2)
    net.load_state_dict(dict(net.state_dict()))
    assert net.seen is None  # what a plain dict loses
    net.load_state_dict(with_versions(net, dict(net.state_dict())))
    assert net.seen == 5
