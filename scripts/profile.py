"""Where the time of a training step goes, as a table and as a trace."""

import argparse
import gzip
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from torch.profiler import ProfilerActivity, profile

from scripts.reporting.step_watch import PHASES, StepWatch
from scripts.reporting.tones import write_tones
from src.batch import Batch
from src.build import KEYS, build_text, build_trainer, check_top, plain
from src.cli import CONFIGS, explain
from src.logger import Nothing
from src.trainer import Trainer
from src.utils.arguments import whole_number
from src.utils.errors import UserError
from src.utils.files import atomic_write, write_json
from src.utils.interrupts import ctrl_c_ends
from src.utils.seeding import seed_everything
from src.utils.tables import counted, percent, table

HELP = """\
Builds the trainer that train.py builds from the same command line, takes a few steps to warm up,
and measures the next ones: waiting for data, augmentation, teacher, front end, forward, loss,
backward, optimizer. Two more steps are recorded by torch.profiler, for https://ui.perfetto.dev or
chrome://tracing.

  python -m scripts.profile -cn=deepspeech2 dataset.root=data/LibriSpeech
  python -m scripts.profile -cn=convnet --steps 50 loader.n_workers=4 trainer.precision=bf16
  python -m scripts.profile -cn=deepspeech2 --synthetic 12.5

Without a corpus at hand, --synthetic takes tones of so many seconds in its place. Nothing is saved
but trace.json.gz and profile.json, in --out. docs/reports.md"""
N_RECORDED = 2  # steps in the trace: more would make files that no viewer opens gladly


@dataclass(frozen=True)
class Measured:
    """What the steps came to."""

    seconds: list[dict[str, float]]  # of each step, by phase
    wall_s: float  # of all steps together
    audio_s: float  # heard in them
    padded_s: float  # the same with padding
    n_utterances: int
    peak_bytes: int  # on the CPU of this process, on CUDA of the tensors


@ctrl_c_ends("profile", "nothing is kept; run it again to start over")
def main(words: Sequence[str] | None = None) -> None:
    """Build, measure, tell. A person's mistake ends in one line and status 1."""
    options = parse(words)
    out = options.out or Path("saved/profile") / options.config_name
    try:
        with tempfile.TemporaryDirectory(prefix="profile.") as folder:
            config = training_config(options, Path(folder))
            seed_everything(config["seed"], config["deterministic"])
            trainer = build_trainer(config, Path(folder) / "run", Nothing())
            measured = measure(trainer, options.warm, options.steps, out / "trace.json.gz")
        write_json(out / "profile.json", describe(options, trainer) | asdict(measured))
    except Exception as error:
        if (told := explain(error)) is None:
            raise
        sys.exit(f"profile: {told}")
    print(report(describe(options, trainer), measured))
    print(f"trace of {N_RECORDED} more steps: {out / 'trace.json.gz'} (https://ui.perfetto.dev)")


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.profile",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, default = parser.add_argument, "(default %(default)s)"
    add("-cn", "--config_name", required=True, metavar="NAME", help="a config of train.py")
    add("--steps", type=whole_number(1), default=20, metavar="N", help=f"measured {default}")
    add("--warm", type=whole_number(1), default=3, metavar="N", help=f"steps before {default}")
    add("--synthetic", type=float, metavar="SECONDS", help="tones of this length, no corpus")
    add("--out", type=Path, help="default: saved/profile/NAME")
    add("overrides", nargs="*", metavar="key=value", help="as train.py takes them")
    return parser.parse_intermixed_args(words)


def training_config(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The config as train.py composes it; with --synthetic its corpus is written into `folder`.

    Raises:
        UserError: a key that nothing reads, a run to resume, or seconds that make no sense.
    """
    words = [f"run_dir={folder / 'run'}", *options.overrides]
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = plain(compose(options.config_name, words))
    check_top(config, KEYS, options.config_name)
    if config["resume"]:
        raise UserError("resume: what is measured starts anew; init_from= takes a run's weights.")
    if options.synthetic is not None:
        if not 0 < options.synthetic <= 60:
            raise UserError(f"--synthetic {options.synthetic:g}: expected seconds, up to 60.")
        rate = config["dataset"].get("sample_rate", 16_000)
        root = write_tones(folder / "tones", options.synthetic, rate, build_text(config))
        node = {"_target_": "src.datasets.AudioFiles", "input": str(root), "sample_rate": rate}
        config["dataset"] = {"train": node, "validation": node}
    return config


def measure(trainer: Trainer, n_warm: int, n_steps: int, trace: Path) -> Measured:
    """Warm up, measure, record; every step is one of the trainer's own."""
    steps = trainer.micro_batches()
    device = trainer.stepper.device
    watch, wanted = StepWatch(device), n_warm + n_steps + N_RECORDED
    trainer.total_steps = max(trainer.total_steps, wanted)  # short runs can be measured too
    for _ in range(n_warm):
        trainer.train_step(next(steps))
    with watch.watching(trainer.stepper):
        _synchronise(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        begun = time.perf_counter()
        heard = [batch for _ in range(n_steps) for batch in _step(trainer, steps, watch)]
        _synchronise(device)
        wall_s = time.perf_counter() - begun
        peak, seconds = peak_bytes(device), watch.seconds()
        record(lambda: _step(trainer, steps, watch), device, trace)
    rate = trainer.stepper.recognizer.sample_rate
    return Measured(
        seconds=seconds,
        wall_s=wall_s,
        audio_s=sum(int(batch.waveform_lengths.sum()) for batch in heard) / rate,
        padded_s=sum(batch.waveforms.numel() for batch in heard) / rate,
        n_utterances=sum(map(len, heard)),
        peak_bytes=peak,
    )


def record(step: Callable[[], Any], device: torch.device, path: Path) -> None:
    """Write a trace of N_RECORDED calls of `step`, packed: it is tens of megabytes of JSON."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it calls a machine without a GPU an error
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as profiler:
        for _ in range(N_RECORDED):
            step()
        _synchronise(device)
    with tempfile.TemporaryDirectory(prefix="profile.") as folder:
        large = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(large))
        with (
            large.open("rb") as events,
            atomic_write(path) as file,
            gzip.open(file, "wb", compresslevel=6) as packed,
        ):
            shutil.copyfileobj(events, packed)


def peak_bytes(device: torch.device) -> int:
    """The most memory so far: of tensors on CUDA, else resident of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kib if sys.platform == "darwin" else 1024 * kib  # bytes on macOS


def describe(options: argparse.Namespace, trainer: Trainer) -> dict[str, Any]:
    """What was measured, in plain values."""
    stepper = trainer.stepper
    return {
        "config": options.config_name,
        "overrides": options.overrides,
        "synthetic_s": options.synthetic,
        "device": str(stepper.device),
        "precision": stepper.precision,
        "n_threads": torch.get_num_threads(),
        "n_parameters": sum(p.numel() for p in stepper.recognizer.parameters()),
        "n_warm": options.warm,
    }


def report(about: dict[str, Any], measured: Measured) -> str:
    """Each phase with its mean and spread over the steps, and what the steps achieved."""
    n = len(measured.seconds)
    whole = [sum(step.values()) for step in measured.seconds]
    phases = {phase: [step[phase] for step in measured.seconds] for phase in PHASES}
    rows = [
        [name, *(f"{1000 * x:.1f}" for x in spread(s)), percent(sum(s) / sum(whole))]
        for name, s in {**phases, "step": whole}.items()
        if any(s)  # nobody waits for a teacher that there is not
    ]
    columns = ("phase", "mean ms", "± sd", "least", "most", "share")
    of_what = "of tensors" if about["device"].startswith("cuda") else "resident, without workers"
    return "\n".join(
        [
            f"{about['config']}, {about['n_parameters']:,} parameters, on {about['device']}, "
            f"{about['precision']}, {counted(about['n_threads'], 'thread')}: "
            f"{counted(n, 'step')} after {about['n_warm']} to warm up",
            "",
            table(rows, columns),
            "",
            f"{measured.audio_s / measured.wall_s:,.1f} s of audio a second, "
            f"{n / measured.wall_s:.2f} steps a second; {measured.n_utterances / n:.1f} "
            f"utterances a step, {percent(1 - measured.audio_s / measured.padded_s)} padding",
            f"peak memory {measured.peak_bytes / 2**30:.2f} GiB ({of_what})",
        ]
    )


def spread(seconds: Sequence[float]) -> tuple[float, float, float, float]:
    """Mean, standard deviation, least and most."""
    deviation = statistics.stdev(seconds) if len(seconds) > 1 else 0.0
    return statistics.fmean(seconds), deviation, min(seconds), max(seconds)


def _step(trainer: Trainer, steps: Iterator[list[Batch]], watch: StepWatch) -> list[Batch]:
    watch.begin()
    batches = next(steps)
    watch.mark("data wait")
    trainer.train_step(batches)
    watch.mark("rest")
    return batches


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
