"""What each augmentation costs: milliseconds a batch."""

import argparse
import functools
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import torch
from hydra import compose, initialize_config_dir
from torch import Tensor

from src.build import build_augment, plain
from src.build.targets import build
from src.cli import CONFIGS, explain
from src.transforms import WaveformSteps
from src.utils.arguments import whole_number
from src.utils.devices import pick_device
from src.utils.interrupts import ctrl_c_ends
from src.utils.tables import table

HELP = """\
Times every augmentation of configs/augment/everything.yaml, done to every utterance, then each
preset with its own probabilities, on a batch of 64 one-second and one of 16 fifteen-second
utterances of noise. On the CPU it is CPU time on one thread, which other work beside it disturbs
little; on a GPU, time until the GPU is done.

  python -m scripts.benchmark_augment
  python -m scripts.benchmark_augment augment.waveform.recorded_noise.folder=data/noise

Steps that want a folder are left out where none is given."""
BATCHES = ((64, 1), (16, 15))  # utterances, seconds
RATE = 16_000


@ctrl_c_ends("benchmark_augment", "nothing is stored; run it again to start over")
def main(words: Sequence[str] | None = None) -> None:
    """Time and print. A person's mistake ends in one line and status 1."""
    options = parse(words)
    torch.set_num_threads(1)
    try:
        device = pick_device(options.device)
        rows = [*step_rows(options, device), *preset_rows(options, device)]
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        sys.exit(f"benchmark_augment: {message}")
    header = ("milliseconds a batch", *(f"{n} × {seconds} s" for n, seconds in BATCHES))
    print(table(rows, header))


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmark_augment",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="of augment=everything")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
    number = functools.partial(parser.add_argument, type=whole_number(1))
    number("--n", default=5, help="repetitions, of which the median counts (default %(default)s)")
    return parser.parse_intermixed_args(words)


def configured(*overrides: str) -> dict:
    """The groups augment and transform of a training config."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        composed = compose("deepspeech2", ["transform=logmel80", *overrides])
    return {group: plain(composed[group]) for group in ("augment", "transform")}


def step_rows(options: argparse.Namespace, device: torch.device) -> list[tuple[str, ...]]:
    """Each step alone, with probability 1, and the front end to compare with."""
    config = configured("augment=everything", *options.overrides)
    steps = config["augment"]["waveform"]
    rows = [_row("front end logmel80", _front_end(config, device), options.n, device)]
    for name, node in steps.items():
        if name != "_target_" and node.get("folder", "") is not None:
            alone = WaveformSteps(step=build(node | {"probability": 1.0}, f"augment.{name}"))
            alone.prepare(RATE)
            rows.append(_row(name, _waveform_step(alone, device), options.n, device))
    for name, node in config["augment"]["features"].items():
        if name != "_target_":
            always = {"probability": 1.0} if "probability" in node else {}
            step = build(node | always, f"augment.{name}").to(device)
            rows.append(_row(name, _feature_step(config, step, device), options.n, device))
    return rows


def preset_rows(options: argparse.Namespace, device: torch.device) -> list[tuple[str, ...]]:
    """Whole presets, waveforms and features, with their own probabilities."""
    rows = []
    for path in sorted((CONFIGS / "augment").glob("*.yaml")):
        config = configured(f"augment={path.stem}")
        of_waveforms, of_features = build_augment(config, build(config["transform"], "transform"))
        run = _waveform_step(of_waveforms or WaveformSteps(), device)
        then = _feature_step(config, of_features.to(device), device)

        def both(n: int, seconds: int, run=run, then=then) -> Callable[[int], None]:
            first, second = run(n, seconds), then(n, seconds)
            return lambda seed: (first(seed), second(seed))

        rows.append(_row(f"augment={path.stem}", both, 3 * options.n, device))
    return rows


def _row(name: str, prepared: Callable, n: int, device: torch.device) -> tuple[str, ...]:
    values = [_milliseconds(prepared(*batch), n, device) for batch in BATCHES]
    return (name, *(f"{value:.1f}" for value in values))


def _milliseconds(run: Callable[[int], None], n: int, device: torch.device) -> float:
    """Median time of `run(seed)` for seeds 1 … n, after one that warms up."""
    times = []
    for seed in range(n + 1):
        begin = _clock(device)
        run(seed)
        times.append(1000 * (_clock(device) - begin))
    return statistics.median(times[1:])


def _clock(device: torch.device) -> float:
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def _batch(n: int, seconds: int, device: torch.device) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    waveforms = 0.1 * torch.randn(n, seconds * RATE, generator=generator)
    return waveforms.to(device), torch.full((n,), seconds * RATE)


def _front_end(config: dict, device: torch.device) -> Callable:
    front_end = build(config["transform"], "transform").to(device)

    def prepared(n: int, seconds: int) -> Callable[[int], None]:
        waveforms, lengths = _batch(n, seconds, device)
        return lambda seed: front_end(waveforms, lengths)

    return prepared


def _waveform_step(steps: WaveformSteps, device: torch.device) -> Callable:
    steps.to(device)

    def prepared(n: int, seconds: int) -> Callable[[int], None]:
        waveforms, lengths = _batch(n, seconds, device)
        return lambda seed: steps(waveforms, lengths, torch.Generator().manual_seed(seed))

    return prepared


def _feature_step(config: dict, step: torch.nn.Module, device: torch.device) -> Callable:
    front_end = build(config["transform"], "transform").to(device)

    def prepared(n: int, seconds: int) -> Callable[[int], None]:
        features, lengths = front_end(*_batch(n, seconds, device))
        return lambda seed: step(features, lengths, torch.Generator(device).manual_seed(seed))

    return prepared


if __name__ == "__main__":
    main()
