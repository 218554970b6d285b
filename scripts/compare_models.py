"""What each model of configs/model costs: weights, stride, one step forward and back."""

import argparse
import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import nn
from tqdm import tqdm

from src.build import build, plain
from src.cli import CONFIGS
from src.loss import CTC
from src.utils.arguments import whole_number
from src.utils.tables import table

HELP = """\
  python -m scripts.compare_models
  python -m scripts.compare_models conformer_s causal --seconds 15 --utterances 2 --runs 5
  python -m scripts.compare_models deepspeech2 --layers

Each model hears the same utterances of noise, with the features that its config is meant for and 29
tokens. The time is that of the processor for the model and its loss, forward and back, on a CPU
with one thread: what other programs do meanwhile changes little. The first step, which warms up,
is left out; of the others the median stands.

--layers tells instead what each layer of the models gives out, and how many weights it has."""
N_TOKENS = 29
N_FEATURES = {  # that a config is meant for, where these are not 80
    "cnn_gru": 201,
    "convnet": 70,
    "convnet_medium": 40,
    "convnet_small": 40,
    "deepspeech2": 128,
    "deepspeech2_conv": 128,
    "hubert_base": 160,
    "lstm": 70,
    "quartznet10x5": 64,
    "quartznet5x5": 64,
    "rawnet": 160,
    "recurrent_frames": 3864,
    "wav2letter": 40,
    "wav2vec2_base": 160,
    "wav2vec2_large": 160,
    "wavlm_base": 160,
    "wavlm_large": 160,
}
FRAMES_A_SECOND = 100
TOKENS_A_SECOND = 12
REFERENCE = "deepspeech2"


def main(words: Sequence[str] | None = None) -> None:
    """Measure one model after another, then print them as a table."""
    options = parse(words)
    torch.set_num_threads(1)
    if options.layers:
        for name in options.models or [REFERENCE]:
            print(f"{name}\n{layers(name, options)}\n")
        return
    names = list(dict.fromkeys([REFERENCE, *(options.models or choices())]))
    found = {name: measure(name, options) for name in tqdm(names, unit="model")}
    reference = found[REFERENCE]["seconds"]
    rows = [
        (
            name,
            f"{row['weights'] / 1e6:.1f} M",
            N_FEATURES.get(name, 80),
            row["stride"],
            f"{row['seconds']:.2f} s",
            f"{row['seconds'] / reference:.2f}",
        )
        for name, row in found.items()
    ]
    print(table(rows, ("model", "weights", "features", "stride", "step", f"of {REFERENCE}")))


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.compare_models",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("models", nargs="*", choices=[[], *choices()], metavar="MODEL", help="default: all")
    add("--utterances", type=whole_number(1), default=4, help="in a batch (default 4)")
    add("--seconds", type=whole_number(1), default=5, help="of each (default 5)")
    add("--runs", type=whole_number(1), default=3, help="steps that count (default 3)")
    add("--layers", action="store_true", help="list the layers instead")
    return parser.parse_args(words)


def choices() -> list[str]:
    """Names of the models that can be chosen."""
    return sorted(path.stem for path in (CONFIGS / "model").glob("*.yaml"))


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Weights, stride and seconds of a step of one model."""
    model, n_features = make(name)
    seconds = [step(model, n_features, options) for _ in range(1 + options.runs)]
    return {
        "weights": sum(p.numel() for p in model.parameters()),
        "stride": model.time_stride,
        "seconds": statistics.median(seconds[1:]),
    }


def make(name: str) -> tuple[nn.Module, int]:
    """The model of a config in training, and its number of features."""
    torch.manual_seed(0)
    node = plain(OmegaConf.load(CONFIGS / "model" / f"{name}.yaml"))
    n_features = N_FEATURES.get(name, 80)
    return build(node, "model", n_features=n_features, n_tokens=N_TOKENS).train(), n_features


def layers(name: str, options: argparse.Namespace) -> str:
    """A table of the layers that have weights of their own, and the shapes (B, …) they give."""
    model, n_features = make(name)
    shapes: dict[str, tuple[int, ...]] = {}

    def note(where: str, given: Any) -> None:
        shapes.setdefault(where, tuple((given[0] if isinstance(given, tuple) else given).shape))

    for where, layer in model.named_modules():
        layer.register_forward_hook(lambda _, __, given, where=where: note(where, given))
    lengths = torch.full((options.utterances,), FRAMES_A_SECOND * options.seconds)
    model(torch.randn(options.utterances, int(lengths[0]), n_features), lengths)
    rows = []
    for where, layer in model.named_modules():
        n = sum(p.numel() for p in layer.parameters(recurse=False))
        heard = where
        while heard not in shapes:  # recurrent layers are computed by what they lie in
            heard = heard.rpartition(".")[0]
        if n:
            rows.append((where, type(layer).__name__, shapes[heard], f"{n:,}"))
    total = sum(p.numel() for p in model.parameters())
    rows.append(("", "emissions", shapes[""], f"{total:,}"))
    return table(rows, ("layer", "kind", "gives", "weights"))


def step(model: nn.Module, n_features: int, options: argparse.Namespace) -> float:
    """Seconds of the processor for a batch, forward and back."""
    lengths = torch.full((options.utterances,), FRAMES_A_SECOND * options.seconds)
    features = torch.randn(options.utterances, int(lengths[0]), n_features)
    n_tokens = TOKENS_A_SECOND * options.seconds
    tokens = torch.randint(1, N_TOKENS, (options.utterances, n_tokens))
    started = time.process_time()
    loss = CTC()(model(features, lengths), tokens, torch.full((len(tokens),), n_tokens))
    loss.total.backward()
    seconds = time.process_time() - started
    model.zero_grad(set_to_none=True)
    return seconds


if __name__ == "__main__":
    main()
