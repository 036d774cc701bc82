"""TorchScript archives give the state dict of the module that was scripted."""

import pytest
from hostile import in_zip, refusal

from vae_jax.convert.read import read_checkpoint
from vae_jax.errors import CheckpointError

torch = pytest.importorskip("torch")
nn = torch.nn

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch.jit itself
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning"),
]


class Net(nn.Module):
    """Every kind of attribute that lands beside the weights."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        self.norm = nn.BatchNorm1d(2)
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.register_buffer("offset", torch.ones(2))
        self.register_parameter("absent", None)
        self.plain = torch.full((2,), 7.0)  # an attribute, no part of the state
        self.some = [torch.ones(1)]
        self.steps = [1, 2]
        self.rates = {"a": 1.0}
        self.label = "net"

    def forward(self, x):
        return self.norm(self.encoder(x)) * self.scale + self.offset + self.plain


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert found[name].tobytes() == tensor.numpy(force=True).tobytes(), name
        assert found[name].shape == tuple(tensor.shape)


def test_a_scripted_module_gives_its_state_dict(tmp_path):
    scripted = torch.jit.script(Net())
    scripted.save(tmp_path / "net.pt")
    assert_same(read_checkpoint(tmp_path / "net.pt"), scripted.state_dict())


def test_a_traced_module_gives_its_state_dict(tmp_path):
    traced = torch.jit.trace(Net().eval(), torch.ones(2, 3))
    traced.save(tmp_path / "net.pt")
    assert_same(read_checkpoint(tmp_path / "net.pt"), traced.state_dict())


def test_shared_modules_and_parameters_keep_all_their_names(tmp_path):
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(2, 2)
            self.second = self.first
            self.weight = self.first.weight

        def forward(self, x):
            return self.second(self.first(x)) @ self.weight

    scripted = torch.jit.script(Shared())
    scripted.save(tmp_path / "net.pt")
    assert_same(read_checkpoint(tmp_path / "net.pt"), scripted.state_dict())


def test_a_frozen_module_has_no_state_left_and_says_so(tmp_path):
    torch.jit.freeze(torch.jit.script(Net().eval())).save(tmp_path / "net.pt")
    with pytest.raises(CheckpointError, match="expected a state dict"):
        read_checkpoint(tmp_path / "net.pt")


def test_code_of_classes_that_never_end_is_searched_once(tmp_path):
    code = b"class A(Module):\n  __parameters__ = [" * 40_000
    more = {"constants.pkl": b"\x80\x02).", "code/__torch__/x.py": code}
    content = in_zip(b"\x80\x02c__torch__\nA\n)\x81}b.", **more)
    refusal(tmp_path, content, little_memory=True)
