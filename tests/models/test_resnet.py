"""ResNet's trunk: the arithmetic of the original, and weights under the names of torchvision."""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from src.models import ResNet
from src.models.parts.frames import Frames
from src.models.resnet import Trunk
from src.utils.errors import UserError
from tests.conftest import REPOSITORY
from tests.models.zoo import stir, utterances

SMALL = {"n_channels": 4, "width": 3, "n_rnn_layers": 1}


def norm_names(name: str) -> list[str]:
    kept = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return [f"{name}.{part}" for part in kept]


def names_of_torchvision(depth: int) -> set[str]:
    """Keys of torchvision's state dict before its average pooling, spelt out."""
    n_blocks = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}[depth]
    names = {"conv1.weight", *norm_names("bn1")}
    for stage, n in enumerate(n_blocks, 1):
        for block in range(n):
            place = f"layer{stage}.{block}"
            for i in range(1, 4 if depth == 50 else 3):
                names |= {f"{place}.conv{i}.weight", *norm_names(f"{place}.bn{i}")}
            if block == 0 and (stage > 1 or depth == 50):
                names |= {f"{place}.downsample.0.weight", *norm_names(f"{place}.downsample.1")}
    return names


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_parameters_are_named_as_in_torchvision(depth):
    with torch.device("meta"):
        trunk = Trunk(depth, n_stages=4, n_channels=64)
    assert set(trunk.state_dict()) == names_of_torchvision(depth)


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_names_shapes_and_outputs_are_those_of_torchvision_itself(depth):
    torchvision = pytest.importorskip(
        "torchvision", reason="pip install torchvision==VERSION, the one made for this torch"
    )
    theirs = getattr(torchvision.models, f"resnet{depth}")(num_classes=1)
    stir(theirs).eval()
    trunk = Trunk(depth, 2, 64).eval()
    state = {n: t for n, t in theirs.state_dict().items() if not n.startswith(("layer3", "layer4"))}
    trunk.load_state_dict({n: t for n, t in state.items() if not n.startswith("fc")})
    first = theirs.layer2[0]
    for conv in (first.conv2 if depth == 50 else first.conv1, first.downsample[0]):
        conv.stride = (1, 2)  # the one thing that is ours
    x = torch.stack(utterances(37, 37))
    y = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x[:, None].expand(-1, 3, -1, -1)))))
    expected = theirs.layer2(theirs.layer1(y)).permute(0, 2, 3, 1)
    found, _ = trunk(x, Frames(torch.tensor([37, 37]), 37))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("depth", [18, 50])
def test_the_trunk_is_a_chain_of_plain_pytorch_layers(depth):
    torch.manual_seed(0)
    trunk = stir(Trunk(depth, n_stages=2, n_channels=4)).eval()
    state = trunk.state_dict()

    def conv(x, name, stride=1):
        kernel = state[f"{name}.weight"]
        return functional.conv2d(x, kernel, stride=stride, padding=(kernel.shape[-1] - 1) // 2)

    def norm(x, name):
        mean, var, weight, bias = (
            state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return functional.batch_norm(x, mean, var, weight, bias)

    (x,) = utterances(21)
    y = conv(x.expand(1, 3, -1, -1), "conv1", 2)
    y = functional.max_pool2d(functional.relu(norm(y, "bn1")), 3, 2, 1)
    for stage, block in [(1, 0), (1, 1), *([(1, 2)] if depth == 50 else []), (2, 0), (2, 1)]:
        name, hop = f"layer{stage}.{block}", (1, 2) if (stage, block) == (2, 0) else 1
        if depth == 50:
            z = functional.relu(norm(conv(y, f"{name}.conv1"), f"{name}.bn1"))
            z = functional.relu(norm(conv(z, f"{name}.conv2", hop), f"{name}.bn2"))
            z = norm(conv(z, f"{name}.conv3"), f"{name}.bn3")
        else:
            z = functional.relu(norm(conv(y, f"{name}.conv1", hop), f"{name}.bn1"))
            z = norm(conv(z, f"{name}.conv2"), f"{name}.bn2")
        if f"{name}.downsample.0.weight" in state:
            y = norm(conv(y, f"{name}.downsample.0", hop), f"{name}.downsample.1")
        y = functional.relu(y + z)
    if depth == 50:
        y = trunk.layer2[3](
            trunk.layer2[2](y.permute(0, 2, 3, 1), Frames(torch.tensor([6]), 6)),
            Frames(torch.tensor([6]), 6),
        ).permute(0, 3, 1, 2)
    found, frames = trunk(x[None], Frames(torch.tensor([21]), 21))
    assert frames.lengths.tolist() == [6]
    torch.testing.assert_close(found, y.permute(0, 2, 3, 1), rtol=1e-4, atol=1e-4)


def published(tmp_path, name: str) -> tuple[str, dict]:
    """A file such as torchvision publishes, of a narrow ResNet-18 with all its stages."""
    state = stir(Trunk(18, 4, SMALL["n_channels"])).state_dict()
    state |= nn.Linear(32, 1000).state_dict(prefix="fc.")
    # The first files were saved before BatchNorm counted its batches.
    state = {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")}
    path = tmp_path / name
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return str(path), state


@pytest.mark.parametrize("name", ["resnet18.safetensors", "resnet18-f37072fd.pth"])
def test_published_weights_are_taken_as_they_are(tmp_path, name):
    path, state = published(tmp_path, name)
    trunk = ResNet(40, 7, weights=path, **SMALL).trunk.state_dict()
    weights = [key for key in trunk if not key.endswith("num_batches_tracked")]
    assert set(weights) == {key for key in state if not key.startswith(("layer4", "fc"))}
    for key in weights:
        assert torch.equal(trunk[key], state[key]), key


def test_weights_of_another_resnet_or_of_none_are_refused(tmp_path):
    path, _ = published(tmp_path, "w.safetensors")
    with pytest.raises(UserError, match=r"model.weights=.*shape \[4, 3, 7, 7\].*another size"):
        ResNet(40, 7, weights=path, n_channels=5)
    with pytest.raises(UserError, match=r"no weight layer1\.2\.conv1\.weight"):
        ResNet(40, 7, depth=34, weights=path, **SMALL)
    (tmp_path / "w.pth").write_bytes(b"<html>not found</html>")
    with pytest.raises(UserError, match=r"w\.pth: not a file of weights only"):
        ResNet(40, 7, weights=str(tmp_path / "w.pth"), **SMALL)
    torch.save(torch.zeros(2), tmp_path / "w.pth")
    with pytest.raises(UserError, match="not a state dict"):
        ResNet(40, 7, weights=str(tmp_path / "w.pth"), **SMALL)


def test_a_file_that_would_run_something_is_refused_and_runs_nothing(tmp_path):
    class Runs:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"conv1.weight": Runs()}, tmp_path / "w.pth")
    with pytest.raises(UserError, match="not a file of weights only"):
        ResNet(40, 7, weights=str(tmp_path / "w.pth"), **SMALL)
    assert not (tmp_path / "ran").exists()


def test_two_threads_learn_without_writing_beyond_their_memory():
    """oneDNN's gradient of a 1 × 1 convolution that hops did, and the process was killed."""
    code = (
        "import torch; from tests.models.test_padding import training_step, CONFIGS\n"
        "torch.set_num_threads(2)\n"
        "config = next(path for path in CONFIGS if path.stem == 'resnet50')\n"
        "for extra in (0, 11, 0): training_step(config, extra, 0.0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
