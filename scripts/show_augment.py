"""Hear and see an augmentation: a recording → augmented WAVs and their spectrograms."""

import argparse
import contextlib
import functools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from hydra import compose, initialize_config_dir

from src import audio
from src.batch import to_int16
from src.build import build, build_augment, plain
from src.cli import CONFIGS, explain
from src.logger import save_png
from src.logger.pictures import new_figure
from src.transforms import WaveformSteps
from src.utils.arguments import whole_number
from src.utils.errors import UserError
from src.utils.files import atomic_write, inside
from src.utils.interrupts import ctrl_c_ends
from src.utils.seeding import step_generator
from src.utils.tables import table

HELP = """\
Augments a recording a few times, as training would, and writes what comes out: WAVs to hear, and
one picture of the features that the model would see, the recording's own above.

  python -m scripts.show_augment talk.flac augment=noisy
  python -m scripts.show_augment talk.flac augment=everything \\
      augment.waveform.tempo.probability=1 transform=logmel80 --n 5 --out heard

Any key of the groups augment and transform may be given. docs/augmentation.md"""
CPU = torch.device("cpu")


class Version(NamedTuple):
    """What became of a recording."""

    waveform: np.ndarray  # (N,) float32, may exceed ±1
    features: np.ndarray  # (T, F)
    steps: tuple[str, ...]  # the names of those that changed the waveform


@ctrl_c_ends("show_augment", "files written so far are whole; run it again to start over")
def main(words: Sequence[str] | None = None) -> None:
    """Augment, write, tell. A person's mistake ends in one line and status 1."""
    options = parse(words)
    try:
        show(options)
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        sys.exit(f"show_augment: {message}")


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.show_augment",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("input", type=Path, help="a recording")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="as for train.py")
    number = functools.partial(parser.add_argument, type=whole_number(1))
    number("--n", default=3, help="how many versions (default %(default)s)")
    number("--seed", default=1, help="other numbers, other versions (default %(default)s)")
    out = Path("saved/augmented")
    parser.add_argument("--out", type=Path, default=out, help="folder (default %(default)s)")
    return parser.parse_intermixed_args(words)


def show(options: argparse.Namespace) -> None:
    """Write the WAVs and the picture, and tell what was done to each.

    Raises:
        UserError: the recording can't be read, or the config can't be built.
    """
    for word in options.overrides:
        if not word.lstrip("+~").startswith(("augment", "transform")):
            raise UserError(f"{word}: expected keys of augment or transform.")
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        composed = compose("deepspeech2", options.overrides)
    config = {group: plain(composed[group]) for group in ("augment", "transform")}
    front_end = build(config["transform"], "transform")
    augments = build_augment(config, front_end)
    waveform = torch.from_numpy(audio.read(options.input, front_end.sample_rate))
    nothing = (None, lambda features, lengths, generator: features)
    versions = [version(waveform, front_end, *nothing, seed=0, number=0)]
    for number in range(1, options.n + 1):
        versions.append(version(waveform, front_end, *augments, seed=options.seed, number=number))
    names = [f"{options.input.stem}_{i}.wav" for i in range(len(versions))]
    for name, made in zip(names, versions, strict=True):
        write_wav(inside(options.out, name), made.waveform, front_end.sample_rate)
    picture = inside(options.out, f"{options.input.stem}.png")
    save_png(drawn(versions, front_end.hop_s), picture)
    tell(versions, names, front_end.sample_rate)
    print(f"drawn in {picture}")


def version(
    waveform: torch.Tensor, front_end, of_waveforms, of_features, *, seed: int, number: int
) -> Version:
    """A waveform (N,) as the training step `number` would hear it, alone in its batch."""
    waveforms, lengths, steps = waveform[None], torch.tensor([len(waveform)]), ()
    generator = step_generator(seed, number, CPU)
    if of_waveforms:
        with noticed(of_waveforms) as steps:
            waveforms, lengths = of_waveforms(waveforms, lengths, generator)
    features, n_frames = front_end(waveforms, lengths)
    features = of_features(features, n_frames, generator)
    return Version(waveforms[0].numpy(), features[0].numpy(), tuple(steps))


@contextlib.contextmanager
def noticed(steps: WaveformSteps) -> Iterator[list[str]]:
    """A list that gathers the names of the steps which change a waveform inside the block."""
    names: list[str] = []

    def note(name: str, _, given: tuple, result: tuple) -> None:
        if result[0].shape != given[0].shape or not torch.equal(result[0], given[0]):
            names.append(name)

    named = steps.steps.items()
    hooks = [s.register_forward_hook(functools.partial(note, name)) for name, s in named]
    try:
        yield names
    finally:
        for hook in hooks:
            hook.remove()


def write_wav(path: Path, waveform: np.ndarray, sample_rate: int) -> None:
    """(N,) as 16-bit WAV, clipped at full scale; raises UserError where it can't be written."""
    with atomic_write(path) as file:
        soundfile.write(file, to_int16(waveform), sample_rate, format="WAV", subtype="PCM_16")


def drawn(versions: Sequence[Version], hop_s: float):
    """A figure of the features, one version below the other, on one scale of time."""
    longest_s = max(len(made.features) for made in versions) * hop_s
    figure = new_figure(min(16.0, 4.0 + 1.5 * longest_s), 1.9 * len(versions) + 0.4)
    panels = figure.subplots(len(versions), squeeze=False, sharex=True)[:, 0]
    for i, (axes, made) in enumerate(zip(panels, versions, strict=True)):
        n_frames, n_bins = made.features.shape
        place = (0, n_frames * hop_s, 0, n_bins)
        axes.imshow(made.features.T, origin="lower", aspect="auto", extent=place, cmap="magma")
        axes.set_title(title(i, made), fontsize=9, loc="left")
        axes.set(xlim=(0, longest_s), ylabel="feature")
    panels[-1].set_xlabel("s")
    return figure


def title(number: int, made: Version) -> str:
    """What is written above a picture."""
    if number == 0:
        return "the recording"
    return f"{number}: {', '.join(made.steps) or 'waveform as it was'}"


def tell(versions: Sequence[Version], names: Sequence[str], sample_rate: int) -> None:
    """A line for each file."""
    rows = []
    for i, (name, made) in enumerate(zip(names, versions, strict=True)):
        level_db = 10 * np.log10(max(1e-10, float(np.square(made.waveform).mean())))
        seconds = len(made.waveform) / sample_rate
        rows.append((name, f"{seconds:.2f}", f"{level_db:.1f}", title(i, made)))
    print(table(rows, ("file", "seconds", "level, dB", "changed by")))


if __name__ == "__main__":
    main()
