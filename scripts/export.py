"""A checkpoint as one file for other programs, compared with the checkpoint before it appears."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from src.batch import to_float
from src.build import load_recognizer
from src.datasets import AudioFiles
from src.export import FORMATS, Comparison, compare, describe, load, time_both, to_bytes
from src.export.check import side_by_side
from src.export.speed import Seconds
from src.trainer import find_checkpoint
from src.utils.arguments import whole_number
from src.utils.errors import UserError
from src.utils.files import atomic_write
from src.utils.interrupts import ctrl_c_ends
from src.utils.tables import counted

HELP = """\
Front end and model become one graph, from waveforms (B, N) float32 and their lengths (B,) in
samples to log-probabilities (B, T_out, V) and their lengths (B,), for batches of any shape:

  python -m scripts.export saved/convnet/2026-01-31_12-00-00 --format onnx --out convnet.onnx
  python -m scripts.export saved/convnet/2026-01-31_12-00-00 --format int8 --out convnet.pt \\
      --input recordings/

torchscript   for torch.jit.load, in C++ too
torch_export  for torch.export.load
onnx          for onnxruntime; needs pip install -r requirements-extra.txt
int8          TorchScript with 8-bit weights in linear and recurrent layers

The file is loaded again and compared with the checkpoint: clips alone, in pairs and all together,
with padding. It appears only if it says the same. All formats run on the CPU."""
TOLERANCE = 1e-3  # of a log-probability, natural log
INT8_TOKEN_ERROR = 0.05  # what 8 bits may cost
N_CLIPS = 16  # as many of the recordings are compared
N_TIMED = 10  # repetitions


@ctrl_c_ends("export", "no file is written; run it again to start over")
def main(words: Sequence[str] | None = None) -> None:
    """Export, compare, time, tell. A person's mistake ends in one line and status 1."""
    options = parse(words)
    try:
        print(export(options))
    except UserError as error:
        sys.exit(f"export: {error}")


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.export",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("checkpoint", help="a .pt file, or a run folder whose best one is taken")
    add("--format", choices=list(FORMATS), required=True)
    add("--out", type=Path, required=True, help="the file to write")
    add("--input", help=f"recordings to compare on: file, folder or glob, the first {N_CLIPS}; "
        "otherwise generated sounds")  # fmt: skip
    add("--n_timed", type=whole_number(1), default=N_TIMED, help="repetitions (%(default)s)")
    return parser.parse_args(words)


def export(options: argparse.Namespace) -> str:
    """Write the file, and tell how it did.

    Raises:
        UserError: no checkpoint, unreadable recordings, or the file differs from the checkpoint.
    """
    text, recognizer, state = load_recognizer(options.checkpoint)
    clips = recordings(options.input, text, recognizer.sample_rate)
    facts = describe(recognizer, text)
    facts |= {"name": state.get("name"), "step": state.get("step"), "format": options.format}
    content = to_bytes(recognizer, options.format, facts)
    with atomic_write(options.out) as file:
        file.write(content)
        file.flush()
        run, _ = load(file.name, options.format)
        found = compare(run, torch.no_grad()(recognizer), clips, recognizer.sample_rate)
        check(found, options.format)
    longest = side_by_side([max(clips, key=len)])
    times = time_both(run, torch.no_grad()(recognizer), longest, options.n_timed)
    origin = find_checkpoint(options.checkpoint)
    return report(options, found, clips, recognizer.sample_rate, times, origin)


def recordings(source: str | None, text: Any, sample_rate: int) -> list[np.ndarray]:
    """Waveforms (N,) float32 of what `--input` names, or generated ones.

    Raises:
        UserError: none of them can be read.
    """
    if source is None:
        return generated(sample_rate)
    dataset = AudioFiles(source, text=text, sample_rate=sample_rate)
    rows = range(min(N_CLIPS, len(dataset)))
    clips = [to_float(np.asarray(dataset[row].waveform)) for row in rows]
    clips = [clip for clip in clips if len(clip)]
    if not clips:
        raise UserError(f"--input {source}: no recording with sound in it; name others.")
    return clips


def generated(sample_rate: int) -> list[np.ndarray]:
    """Six sounds of 0.4 to 3 s: harmonics of a gliding pitch that swell and fade, over noise."""
    rng, sounds = np.random.default_rng(7), []
    for seconds in (0.4, 0.85, 1.2, 1.7, 2.3, 3.0):
        t = np.arange(int(seconds * sample_rate)) / sample_rate
        phase = (
            2 * np.pi * np.cumsum(rng.uniform(90, 250) * (1 + 0.3 * np.sin(5 * t))) / sample_rate
        )
        voice = sum(np.sin(k * phase) / k for k in range(1, 12))
        envelope = np.sin(np.pi * 3 * t) ** 2
        sound = 0.1 * envelope * voice + 0.005 * rng.standard_normal(len(t))
        sounds.append(sound.astype(np.float32))
    return sounds


def check(found: Comparison, form: str) -> None:
    """Refuse a file that differs from its checkpoint.

    Raises:
        UserError: by more than TOLERANCE, or int8 in more than INT8_TOKEN_ERROR of the tokens.
    """
    if form == "int8":
        if found.token_error <= INT8_TOKEN_ERROR:
            return
        differs = f"{100 * found.token_error:.1f} % of the greedy tokens, more than "
        differs += f"{100 * INT8_TOKEN_ERROR:g} %"
    elif found.worst <= TOLERANCE:
        return
    else:
        differs = f"a log-probability by {found.worst:.2g}, more than {TOLERANCE:g}"
    raise UserError(
        f"format {form}: differs from the checkpoint in {differs}; nothing was written. "
        "Choose another format."
    )


def report(
    options: argparse.Namespace,
    found: Comparison,
    clips: list[np.ndarray],
    sample_rate: int,
    times: tuple[Seconds, Seconds],
    origin: Path,
) -> str:
    """Size, differences and speed, for people."""
    megabytes = [path.stat().st_size / 1e6 for path in (options.out, origin)]
    what = options.input or "generated sounds"
    seconds = sum(map(len, clips)) / sample_rate
    ours, theirs = times
    longest = max(map(len, clips)) / sample_rate
    return "\n".join(
        [
            f"{options.out}: {options.format}, {megabytes[0]:.1f} MB, from {origin}",
            f"compared on {counted(len(clips), 'clip')} of {what}, {seconds:.1f} s, in "
            f"{found.n_batches} batches of 1 to {found.most}, with and without padding:",
            f"  largest difference of a log-probability {found.worst:.2g}",
            _told_tokens(found, options.format),
            f"one clip of {longest:.1f} s, median of {options.n_timed} runs [least, most], "
            f"{counted(torch.get_num_threads(), 'thread')}:",
            f"  PyTorch {_ms(theirs)}, {options.format} {_ms(ours)}: "
            f"{theirs.median / ours.median:.2f} times as fast",
        ]
    )


def _told_tokens(found: Comparison, form: str) -> str:
    if found.tokens or found.errors:
        alike = f"{100 * (1 - found.token_error):.2f} % alike"
        return f"  greedy tokens {alike} ({counted(found.errors, 'error')} in {found.tokens:,})"
    judged = ", and int8 is judged by them alone" if form == "int8" else ""
    return (
        "  warning: only blanks were emitted, so no greedy token was compared"
        f"{judged}; name speech that the checkpoint can read with --input"
    )


def _ms(seconds: Seconds) -> str:
    median, least, most = (1000 * value for value in seconds)
    return f"{median:.1f} ms [{least:.1f}, {most:.1f}]"


if __name__ == "__main__":
    main()
