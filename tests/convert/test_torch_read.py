"""PyTorch's own files, in both formats, read without PyTorch and compared with PyTorch."""

import io
import mmap
import sys
import zipfile
from argparse import Namespace
from collections import Counter, OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from vae_jax.convert.read import read_checkpoint
from vae_jax.convert.tensors import DTYPES
from vae_jax.errors import CheckpointError

torch = pytest.importorskip("torch")

CONTAINERS = {
    "zip": {},
    "zip, protocol 4": {"pickle_protocol": 4},
    "zip, protocol 5": {"pickle_protocol": 5},
    "legacy": {"_use_new_zipfile_serialization": False},
    "legacy, protocol 4": {"_use_new_zipfile_serialization": False, "pickle_protocol": 4},
}


@pytest.fixture
def save(tmp_path):
    def save(value, **options):
        torch.save(value, path := tmp_path / "checkpoint.pth", **options)
        return path

    return save


def raw(value):
    """dtype, shape and bytes of a tensor or an array."""
    if isinstance(value, torch.Tensor):
        plain = value.detach().resolve_conj().resolve_neg()
        packed = torch.empty(plain.shape, dtype=plain.dtype).copy_(plain).reshape(-1)
        data = packed.view(torch.uint8).numpy().tobytes()
        return DTYPES[str(value.dtype).removeprefix("torch.")], tuple(value.shape), data
    return value.dtype, value.shape, np.ascontiguousarray(value).tobytes()


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert raw(found[name]) == raw(tensor), name
        assert not found[name].flags.writeable


def model():
    return torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_dtype_and_shape_is_kept_bit_for_bit(save, container):
    state = {}
    for name, dtype in DTYPES.items():
        bits = torch.arange(6 * dtype.itemsize, dtype=torch.uint8).mul(37)
        bits = (bits % 2 if name == "bool" else bits).reshape(2, 3 * dtype.itemsize)
        state |= {name: bits.view(getattr(torch, name)), f"{name}'s bytes": bits.clone()}
    shapes = [(), (0,), (0, 3), (3, 0, 2), (1,), (1, 1), (2, 3, 4, 5)]
    state |= {f"{shape}": torch.randn(shape) for shape in shapes}
    assert_same(read_checkpoint(save(state, **CONTAINERS[container])), state)


@pytest.mark.parametrize("container", ["zip", "legacy"])
def test_views_are_read_as_their_values(save, container):
    base, numbers = torch.arange(24.0).reshape(4, 6), torch.tensor([1 + 2j, 3 - 4j])
    state = OrderedDict(
        base=base,
        transposed=base.t(),
        columns=base[:, 1::2],
        row=base[2],
        element=base[1, 1],
        expanded=torch.tensor([5.0]).expand(3, 4),
        diagonal=base.diagonal(),
        windows=torch.arange(6.0).unfold(0, 3, 1),
        none_left=base[4:],
        plain=numbers,
        conjugated=numbers.conj(),
        negated=torch._neg_view(torch.tensor([1.5, -2.0])),
    )
    assert_same(read_checkpoint(save(state, **CONTAINERS[container])), state)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), legacy=st.booleans())
def test_a_strided_view_is_read_as_its_values(tmp_path_factory, data, legacy):
    shape = data.draw(npst.array_shapes(max_dims=4, max_side=5))
    tensor = torch.arange(float(np.prod(shape))).reshape(shape)
    index = data.draw(npst.basic_indices(shape, allow_newaxis=False, allow_ellipsis=False))
    steps = index if isinstance(index, tuple) else (index,)
    forward = tuple(
        slice(part.start, part.stop, abs(part.step)) if isinstance(part, slice) and part.step
        else part
        for part in steps
    )  # fmt: skip
    view = tensor[forward]
    view = view.permute(data.draw(st.permutations(range(view.ndim))))
    path = tmp_path_factory.getbasetemp() / f"view{legacy}.pth"
    torch.save({"view": view}, path, _use_new_zipfile_serialization=not legacy)
    assert_same(read_checkpoint(path), {"view": view})


def test_a_state_dict_of_a_model_is_read_as_it_is(save):
    state = model().state_dict()
    assert_same(read_checkpoint(save(state)), state)


def test_parameters_buffers_and_tensors_with_attributes_are_tensors(save):
    marked = torch.ones(2)
    marked.note = "a Python attribute"
    state = {
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "buffer": torch.nn.Buffer(torch.zeros(3)),
        "marked": marked,
    }
    assert_same(read_checkpoint(save(state)), state)


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_training_checkpoint_gives_its_model(save, container):
    net = model()
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(2, 1, 4, 4)).sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2])
    path = save(
        {
            "epoch": 3,
            "loss": torch.tensor(0.5),
            "model_state_dict": net.state_dict(),
            "optimizer": optimizer.state_dict(),
            "optimizers": {"generator": optimizer.state_dict()},
            "schedule": schedule.state_dict(),
            "best": np.float64(0.25),
            "args": Namespace(lr=1e-3, name="run"),
            "names": ["a", "b"],
            "classes": {1, 2},
            "milestones": Counter([1, 2]),
            "seen": b"bytes",
            "size": torch.Size([1, 2]),
            "device": torch.device("cpu"),
            "dtype": torch.float32,
            "big": 2**70,
            "complex": 1j,
            "rng": torch.get_rng_state(),
        },
        **CONTAINERS[container],
    )
    assert_same(read_checkpoint(path), net.state_dict())


def test_a_dict_of_tensors_and_other_values_gives_its_tensors(save):
    state = {"weight": torch.ones(2), "epoch": 3, "storage": torch.ones(2).untyped_storage()}
    assert_same(read_checkpoint(save(state)), {"weight": state["weight"]})


def test_several_state_dicts_are_listed_and_chosen_by_key(save):
    one, two = {"w": torch.ones(2)}, {"w": torch.zeros(2), "b": torch.zeros(1)}
    path = save({"nets": {"model": one, "ema": two}, "epoch": 1})
    with pytest.raises(CheckpointError, match=r"nets.model'? \(1 tensors\).*nets.ema.*--key"):
        read_checkpoint(path)
    assert_same(read_checkpoint(path, key="nets.ema"), two)
    assert_same(read_checkpoint(path, key="nets.model"), one)
    with pytest.raises(CheckpointError, match=r"no dict 'other'.*nets.model.*nets.ema"):
        read_checkpoint(path, key="other")
    with pytest.raises(CheckpointError, match="several"):
        read_checkpoint(path, key="nets")


def test_a_file_without_a_state_dict_says_what_it_holds(save):
    for value in ({}, [], 3, {"epoch": 1}, torch.ones(2), [torch.ones(1)], {0: 1}):
        with pytest.raises(CheckpointError, match=r"found an? .*expected a state dict"):
            read_checkpoint(save(value))


def test_a_whole_pickled_model_is_refused_with_advice(save):
    with pytest.raises(CheckpointError, match=r"save model.state_dict\(\)"):
        read_checkpoint(save(model()))


@pytest.mark.parametrize(
    "names",
    [
        ["_orig_mod.0.weight", "_orig_mod.0.bias"],
        ["module.0.weight", "module.0.bias"],
        ["module._orig_mod.0.weight", "module._orig_mod.0.bias"],
        ["_orig_mod.module.0.weight", "_orig_mod.module.0.bias"],
        ["0._orig_mod.weight", "0.bias"],
    ],
)
def test_the_prefixes_of_wrappers_are_removed(save, names):
    state = {name: torch.full((2,), float(i)) for i, name in enumerate(names)}
    expected = dict(zip(["0.weight", "0.bias"], state.values(), strict=True))
    assert_same(read_checkpoint(save(state)), expected)


def test_two_names_that_become_one_are_refused(save):
    with pytest.raises(CheckpointError, match=r"_orig_mod\.w"):
        read_checkpoint(save({"_orig_mod.w": torch.ones(1), "w": torch.ones(1)}))


def test_arrays_are_views_of_the_mapped_file(tmp_path):
    path = tmp_path / "m.pth"
    torch.save({"weight": torch.arange(6.0).reshape(2, 3).t()}, path)
    array = base = read_checkpoint(path)["weight"]
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base, memoryview)
    assert isinstance(base.obj, mmap.mmap)
    path.unlink()  # the mapping outlives the name, and the reader's own references
    np.testing.assert_array_equal(array, [[0, 3], [1, 4], [2, 5]])


def test_a_file_without_checksums_is_read(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(state := model().state_dict(), tmp_path / "m.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert_same(read_checkpoint(tmp_path / "m.pth"), state)


def test_a_file_of_a_big_endian_machine_is_read_as_pytorch_reads_it(tmp_path):
    state = {"f": torch.arange(4.0), "i": torch.arange(3), "c": torch.tensor([1 + 2j])}
    torch.save(state, buffer := io.BytesIO())
    swaps = {"data/0": 4, "data/1": 8, "data/2": 4}
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(tmp_path / "b.pth", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if width := swaps.get(name.split("/", 1)[1]):
                content = np.frombuffer(content, f"u{width}").byteswap().tobytes()
            new.writestr(name, b"big" if name.endswith("byteorder") else content)
    expected = torch.load(tmp_path / "b.pth")
    assert_same(read_checkpoint(tmp_path / "b.pth"), expected)
    assert raw(expected["f"]) == raw(state["f"])


def test_reading_never_imports_torch(tmp_path, monkeypatch):
    paths = []
    for name, options in CONTAINERS.items():
        paths.append(tmp_path / name)
        torch.save(model().state_dict(), paths[-1], **options)
    for package in ("torch", "safetensors"):
        monkeypatch.setitem(sys.modules, package, None)  # importing it raises ImportError
    assert [len(read_checkpoint(path)) for path in paths] == [7] * len(paths)
