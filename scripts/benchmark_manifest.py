"""How long a large corpus takes to open, and what it costs in memory with workers."""

import argparse
import multiprocessing
import pickle
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from scripts.benchmarks.synthetic_manifest import write_manifest
from src.datasets import Batches, LibriSpeech
from src.text import Characters
from src.utils.arguments import whole_number
from src.utils.tables import table

HELP = """\
A corpus in LibriSpeech's layout is made in a temporary folder: its folders and its index, with
transcripts of 180 letters, no audio. Then fresh processes open it as a training does. The first
also looks at every transcript, once; the second is what each later start takes. Ten million
utterances need 3 GB of disk.

  python -m scripts.benchmark_manifest --n 10000000"""

PART = "synthetic"
N_WORKERS = 2
COLUMNS = ("RssAnon", "RssFile", "Private_Dirty")
HEADER = ("", "s", "CPU s", "RssAnon MiB", "RssFile MiB", "own MiB")
Row = list[str]


def main(arguments: list[str] | None = None) -> None:
    """Make the corpus, measure in fresh processes, print a table."""
    options = parse(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        root = Path(name)
        started_s = time.monotonic()
        index = write_manifest(root / PART, root / "index", options.n)
        print(
            f"{options.n:,} utterances made in {time.monotonic() - started_s:.0f} s; the index "
            f"takes {index.stat().st_size / 2**20:,.0f} MiB",
            flush=True,
        )
        fresh = multiprocessing.get_context("spawn")
        for title in ("first opening", "every later opening"):
            with ProcessPoolExecutor(1, fresh) as process:
                rows = process.submit(measure, root, title, options.n_reads).result()
            print("\n" + table(rows, HEADER), flush=True)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options, with a --help that teaches."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmark_manifest",
        description=__doc__,
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--n", type=whole_number(100), default=1_000_000, help="utterances (default %(default)s)")
    add("--folder", type=Path, help="where to make the corpus (default: the system's, TMPDIR)")
    add("--n_reads", type=whole_number(1), default=100_000, help="rows each worker reads")
    return parser.parse_args(arguments)


def measure(root: Path, title: str, n_reads: int) -> list[Row]:
    """Open the corpus, plan an epoch, read random rows in forked workers.

    Returns:
        For each, seconds and this process's resident memory; for a worker, what it grew by.
    """
    rows = [["after the imports", "", "", *_cells(memory())]]
    corpus, seconds = _timed(lambda: open_corpus(root))
    rows.append([title, *seconds, *_cells(memory())])
    batches = Batches(corpus.durations_s, max_batch_s=240.0, shuffle=True)
    _, seconds = _timed(lambda: len(batches))
    rows.append(["an epoch planned", *seconds, *_cells(memory())])
    for grown, seconds in in_workers(corpus, n_reads):
        rows.append([f"a forked worker reads {n_reads:,} rows", *seconds, *_cells(grown, "+")])
    size = len(pickle.dumps(corpus))
    return [*rows, [f"sent to a spawned worker: {size:,} bytes", *[""] * 5]]


def open_corpus(root: Path) -> LibriSpeech:
    """As a training opens it."""
    return LibriSpeech(root, PART, Characters(), index_dir=root / "index", max_duration_s=17.0)


def in_workers(corpus: LibriSpeech, n_reads: int) -> list[tuple[dict[str, float], Row]]:
    """What each forked worker's memory grew by, in MiB, and its seconds, also of the CPU."""
    forked = multiprocessing.get_context("fork")
    queue = forked.SimpleQueue()
    workers = [
        forked.Process(target=lambda seed=seed: queue.put(_read_rows(corpus, n_reads, seed)))
        for seed in range(N_WORKERS)
    ]
    for worker in workers:
        worker.start()
    found = [queue.get() for _ in workers]
    for worker in workers:
        worker.join()
    return found


def _read_rows(corpus: LibriSpeech, n_reads: int, seed: int) -> tuple[dict[str, float], Row]:
    before = memory()
    ids, transcripts = corpus.ids, corpus.transcripts
    rows = np.random.default_rng(seed).integers(len(corpus), size=n_reads)
    whole, seconds = _timed(lambda: all(ids[row] and transcripts[row] for row in memoryview(rows)))
    if not whole:
        raise ValueError("a row is empty")
    after = memory()
    return {name: after[name] - before[name] for name in after}, seconds


def memory() -> dict[str, float]:
    """MiB of this process: RssAnon and RssFile, as /proc/self/status has them, and Private_Dirty.

    After a fork RssAnon counts the parent's pages too; only Private_Dirty tells whether they
    were copied since.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    lines += Path("/proc/self/smaps_rollup").read_text().splitlines()
    words = (line.replace(":", " ").split() for line in lines)
    return {word[0]: int(word[1]) / 1024 for word in words if word[0] in COLUMNS}


def _timed(work: Callable[[], Any]) -> tuple[Any, Row]:
    """What `work` gives, and its seconds by the clock and of the CPU."""
    clock_s, cpu_s = time.monotonic(), time.process_time()
    result = work()
    return result, [f"{time.monotonic() - clock_s:.2f}", f"{time.process_time() - cpu_s:.2f}"]


def _cells(mebibytes: dict[str, float], sign: str = "") -> Row:
    return [f"{sign}{mebibytes[name]:.0f}" for name in COLUMNS]


if __name__ == "__main__":
    main()
