"""TensorFlow's checkpoints: read, written, and refused in one line where they are damaged."""

import os
import shutil
import sys

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hostile import one_line

from vae_jax.convert.tensorflow import write
from vae_jax.convert.tensorflow.checkpoint import checkpoint_prefix, read_tensorflow
from vae_jax.convert.tensorflow.library import cpu_session
from vae_jax.convert.tensorflow.write import write_tensorflow
from vae_jax.errors import CheckpointError, MissingExtraError
from vae_jax.recipe import Recipe

pytestmark = pytest.mark.tensorflow

DATA = ".data-00000-of-00001"
VALUES = np.arange(1, 5, dtype=np.float32)


def reference(twin, **options):
    return twin.TensorFlowReference("stddev_vae", np.float32, latent_size=2, **options)


@pytest.fixture(scope="module")
def training(tmp_path_factory, twin):
    """The folder ``training`` of the original after one step, and the model."""
    folder, model = tmp_path_factory.mktemp("training"), reference(twin, seed=1)
    recipe = Recipe(data="digits", epochs=1, batch_size=2, learning_rate=1e-3)
    rng = np.random.default_rng(0)
    model.step(recipe, rng.uniform(size=(2, 28, 28, 1)), rng.normal(size=(2, 2)))
    model.save(folder / "train", global_step=9)
    return folder, model


@pytest.fixture
def copy(training, tmp_path):
    """A copy of that folder's files, to be spoilt, under their prefix."""
    shutil.copytree(training[0], tmp_path / "training")
    return tmp_path / "training" / "train-9"


def refusal(path, action=read_tensorflow, *arguments):
    return one_line(path, action, *arguments, longest=600)


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        native = np.asarray(value, np.asarray(value).dtype.newbyteorder("="))
        assert type(found[name]) is np.ndarray
        assert (found[name].dtype, found[name].shape) == (native.dtype, native.shape), name
        assert found[name].tobytes() == native.tobytes(), name


# Where a checkpoint is.


def test_a_prefix_and_each_of_its_files_mean_the_prefix(training):
    prefix = str(training[0] / "train-9")
    for end in ("", ".index", DATA, ".meta"):
        assert checkpoint_prefix(prefix + end) == prefix
    assert checkpoint_prefix(training[0] / "train-9.index") == prefix
    for end in (".data", ".metal", ".data-00001-of-00002", "/"):
        assert checkpoint_prefix(prefix + end) is None


def test_a_folder_means_its_latest_checkpoint_wherever_it_was_written(copy):
    state = copy.with_name("checkpoint")
    assert f'"{copy}"' not in state.read_text()  # it names the folder that was copied
    assert checkpoint_prefix(copy.parent) == str(copy)
    assert_same(read_tensorflow(copy.parent), read_tensorflow(copy))
    for written, name in [
        ("train-9", "train-9"),
        (r"C:\\runs\\train-9", "train-9"),
        (r"/a/tr\303\244in \"9\"", 'träin "9"'),
        ("../../../etc/train-9", "train-9"),
    ]:
        state.write_text(f'model_checkpoint_path: "{written}"\nall_model_checkpoint_paths: "x"\n')
        assert checkpoint_prefix(copy.parent) == str(copy.with_name(name))


def test_the_file_that_names_the_latest_checkpoint_means_it(copy):
    state = copy.with_name("checkpoint")
    assert checkpoint_prefix(state) == str(copy)
    renamed = state.rename(copy.with_name("latest.txt"))
    assert checkpoint_prefix(renamed) == str(copy)
    renamed.write_text('text\nmodel_checkpoint_path: "train-9"\n')
    assert checkpoint_prefix(renamed) is None


def test_a_saved_models_folder_means_its_variables(tmp_path):
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").touch()
    write_tensorflow(tmp_path / "variables" / "variables", {"a/w": VALUES})
    for path in (tmp_path, tmp_path / "saved_model.pb"):
        assert_same(read_tensorflow(path), {"a/w": VALUES})
    (tmp_path / "variables" / "variables.index").unlink()
    assert "lacks variables.index" in refusal(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"\x80\x81\x00", b'all_model_checkpoint_paths: "train-9"']
)
def test_a_folder_without_tensorflows_state_means_none(tmp_path, content):
    assert checkpoint_prefix(tmp_path) is None
    (tmp_path / "checkpoint").write_bytes(content)
    assert checkpoint_prefix(tmp_path) is None
    assert "is not a TensorFlow checkpoint: expected its prefix" in refusal(tmp_path)


# What is read.


def test_a_saver_of_the_original_wrote_what_is_read(training):
    folder, model = training
    found = read_tensorflow(folder / "train-9")
    slots = {f"{n}/Adam": v for n, v in model.moments()["exp_avg"].items() if n + "/Adam" in found}
    assert len(slots) == 12
    powers = {"beta1_power": np.float32(0.9) ** 2, "beta2_power": np.float32(0.999) ** 2}
    more = {n: v for n, v in found.items() if n.endswith("Adam_1")}
    assert_same(found, model.state_dict() | slots | more | powers)
    squares = model.moments()["exp_avg_sq"]
    assert_same(more, {n: squares[n.removesuffix("/Adam_1")] for n in more})


def test_tensorflow_2_checkpoints_are_read_and_what_is_not_numbers_left_out(tmp_path, twin):
    tf = twin.tf
    kernel = np.ones((2, 3), np.float32)
    saved = tf.train.Checkpoint(kernel=tf.Variable(kernel), words=tf.Variable(["a", "b"]))
    prefix = saved.write(str(tmp_path / "model"))
    assert "_CHECKPOINTABLE_OBJECT_GRAPH" in dict(tf.train.list_variables(prefix))
    assert_same(read_tensorflow(prefix), {"kernel/.ATTRIBUTES/VARIABLE_VALUE": kernel})


def test_values_in_several_data_files_are_read(tmp_path, twin):
    tf, raw = twin.tf, twin.tf.raw_ops
    parts = [str(tmp_path / part) for part in ("one", "two")]
    with tf.Graph().as_default() as graph:
        save = [raw.SaveV2(prefix=p, tensor_names=[p[-3:]], shape_and_slices=[""],
                           tensors=[tf.constant(VALUES)]) for p in parts]  # fmt: skip
        with tf.control_dependencies(save):
            merge = raw.MergeV2Checkpoints(
                checkpoint_prefixes=parts, destination_prefix=str(tmp_path / "all")
            )
    with cpu_session(tf, graph) as session:
        session.run(merge)
    assert_same(read_tensorflow(tmp_path / "all"), {"one": VALUES, "two": VALUES})
    (tmp_path / "all.data-00001-of-00002").unlink()
    assert "lacks 1 of its 2 data files: expected all.data-00001-of-00002" in refusal(
        tmp_path / "all"
    )


# What is written.


def test_what_is_written_is_read_bit_for_bit_and_by_tensorflow(tmp_path, twin):
    bits = np.random.default_rng(0).integers(0, 256, (2, 48), np.uint8)
    names = "bool uint8 uint16 uint32 uint64 int8 int16 int32 int64 float16 float32 float64"
    kinds = [*names.split(), "complex64", "complex128", ml_dtypes.bfloat16, ml_dtypes.float8_e5m2]
    tensors = {f"a/{np.dtype(k)}": (bits % 2 if k == "bool" else bits).view(k) for k in kinds}
    tensors |= {
        "scalar": np.float32(3),
        "empty": np.zeros((0, 3), np.float32),
        "transposed": np.arange(6).reshape(2, 3).T,
        "big-endian": np.arange(4, dtype=">f4"),
        "nän": np.array([0x7FC12345, 0xFF812345], np.uint32).view(np.float32),
        "jax": jnp.ones((2, 3), jnp.bfloat16),
        "large": np.arange(300_000.0),
    }
    write_tensorflow(tmp_path / "train-9", tensors)
    assert sorted(os.listdir(tmp_path)) == [f"train-9{DATA}", "train-9.index"]
    assert_same(read_tensorflow(tmp_path / "train-9"), tensors)
    reader = twin.tf.train.load_checkpoint(str(tmp_path / "train-9"))
    assert reader.get_variable_to_shape_map() == {k: list(v.shape) for k, v in tensors.items()}
    assert_same({k: np.asarray(reader.get_tensor(k)) for k in tensors}, tensors)


def test_a_saver_restores_what_is_written_and_the_model_computes_the_same(training, tmp_path, twin):
    model, other = training[1], reference(twin, seed=2)
    write_tensorflow(tmp_path / "train-0.index", model.state_dict())
    other.restore(tmp_path / "train-0")
    rng = np.random.default_rng(1)
    image, noise = rng.uniform(size=(3, 28, 28, 1)), rng.normal(size=(3, 2))
    for name, value in model.forward(image, noise).items():
        np.testing.assert_array_equal(other.forward(image, noise)[name], value)
    assert_same(other.state_dict(), model.state_dict())


def test_an_index_of_many_blocks_is_read(tmp_path):
    tensors = {f"{i:03}" * 300: np.full(1, i) for i in range(800)}
    write_tensorflow(tmp_path / "many", tensors)
    assert (tmp_path / "many.index").stat().st_size > 2 * 2**18  # a block is 256 KiB
    assert_same(read_tensorflow(tmp_path / "many"), tensors)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "no variables"),
        ({"w": np.array([None])}, "dtype object"),
        ({"w": np.array(["a"])}, "dtype <U1"),
        ({"w": np.zeros(2, [("a", "f4")])}, "dtype"),
        ({"w": np.longdouble(1)}, "dtype"),
        ({"": VALUES}, "the name ''"),
        ({"\0w": VALUES}, "the name"),
        ({"w" * 2000: VALUES}, "the name"),
        ({"\ud800": VALUES}, "utf-8"),
    ],
)
def test_what_no_checkpoint_holds_is_refused_and_the_old_one_kept(tmp_path, tensors, message):
    write_tensorflow(tmp_path / "a", {"w": VALUES})
    assert message in refusal(tmp_path / "a", write_tensorflow, tensors)
    assert_same(read_tensorflow(tmp_path / "a"), {"w": VALUES})
    assert len(os.listdir(tmp_path)) == 2


def test_a_missing_folder_or_a_folder_is_refused(tmp_path):
    write = write_tensorflow
    assert "no folder" in refusal(tmp_path / "none" / "a", write, {"w": VALUES})
    assert "is a folder" in refusal(tmp_path, write, {"w": VALUES})
    assert "cannot be written" in refusal("/proc/a", write, {"w": VALUES})
    assert os.listdir(tmp_path) == []


def test_other_values_read_back_leave_the_old_checkpoint(tmp_path, monkeypatch):
    write_tensorflow(tmp_path / "a", {"w": VALUES})
    honest = read_tensorflow
    monkeypatch.setattr(write, "read_tensorflow", lambda p: {n: -a for n, a in honest(p).items()})
    assert "different value of 'w'" in refusal(tmp_path / "a", write_tensorflow, {"w": VALUES + 1})
    assert_same(honest(tmp_path / "a"), {"w": VALUES})
    assert len(os.listdir(tmp_path)) == 2


def test_a_failure_while_moving_brings_the_old_checkpoint_back(tmp_path, monkeypatch):
    write_tensorflow(tmp_path / "a", {"w": VALUES})
    honest = os.replace

    def full(source, target):
        if str(target).endswith(f"a{DATA}") and "new" in str(source):
            raise OSError(28, "No space left on device")
        honest(source, target)

    monkeypatch.setattr(os, "replace", full)
    message = refusal(tmp_path / "a", write_tensorflow, {"w": VALUES + 1, "v": VALUES})
    assert "No space left on device" in message
    assert_same(read_tensorflow(tmp_path / "a"), {"w": VALUES})
    assert len(os.listdir(tmp_path)) == 2


# What is missing or damaged.


def test_a_missing_file_is_named_before_tensorflow_is_loaded(copy, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    os.rename(f"{copy}{DATA}", f"{copy}.aside")
    assert f"expected train-9{DATA} beside the index" in refusal(copy)
    os.mkfifo(f"{copy}{DATA}")  # to open it would wait for a writer, for ever
    assert f"expected train-9{DATA}" in refusal(copy)
    os.unlink(f"{copy}{DATA}")
    os.rename(f"{copy}.aside", f"{copy}{DATA}")
    os.unlink(f"{copy}.index")
    assert "lacks train-9.index" in refusal(f"{copy}{DATA}")
    assert "lacks train-9.index" in refusal(copy.parent)


def test_without_tensorflow_the_extra_is_named(training, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(MissingExtraError, match=r"^reading a .* needs TensorFlow.*\[tensorflow\]"):
        read_tensorflow(training[0])
    with pytest.raises(MissingExtraError, match=r"^writing a .* needs TensorFlow.*\[tensorflow\]"):
        write_tensorflow(tmp_path / "a", {"w": VALUES})
    assert os.listdir(tmp_path) == []


def test_a_data_file_cut_short_is_told_without_tensorflow(copy, monkeypatch):
    size = os.path.getsize(f"{copy}{DATA}")
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    for length in (size - 1, size // 2, 0):
        os.truncate(f"{copy}{DATA}", length)
        assert f"{DATA} of {length} bytes, expected" in refusal(copy)


def test_every_flipped_bit_of_the_values_is_noticed(tmp_path):
    write_tensorflow(tmp_path / "a", {"w": VALUES, "v": np.arange(3, dtype=np.uint8)})
    data = (tmp_path / f"a{DATA}").read_bytes()
    for bit in range(8 * len(data)):
        spoilt = bytearray(data)
        spoilt[bit // 8] ^= 1 << bit % 8
        (tmp_path / f"a{DATA}").write_bytes(spoilt)
        assert "Checksum does not match" in refusal(tmp_path / "a")


def test_a_damaged_index_is_refused_or_reads_the_same(tmp_path):
    tensors = {"w": VALUES, "v": np.arange(3, dtype=np.uint8)}
    write_tensorflow(tmp_path / "a", tensors)
    index = (tmp_path / "a.index").read_bytes()
    for length in range(len(index)):
        (tmp_path / "a.index").write_bytes(index[:length])
        refusal(tmp_path / "a")
    refused = 0
    for bit in range(8 * len(index)):
        spoilt = bytearray(index)
        spoilt[bit // 8] ^= 1 << bit % 8
        (tmp_path / "a.index").write_bytes(spoilt)
        try:
            assert_same(read_tensorflow(tmp_path / "a"), tensors)  # the bit was of the padding
        except CheckpointError:
            refused += 1
    assert refused > 4 * len(index)
