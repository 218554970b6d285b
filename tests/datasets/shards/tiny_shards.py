"""A corpus of 45 short recordings, packed into five shards, and its readers."""

from pathlib import Path

import numpy as np
import soundfile

from src.datasets import AudioFiles, Loader, ShardStream, make_batches, make_loader
from src.datasets.shards.writer import write_shards
from src.text import Characters

RATE = 16_000
N = 45


def write_files(folder: Path) -> Path:
    """45 recordings of 0.1 … 0.14 s, FLAC, with transcripts."""
    random = np.random.default_rng(0)
    for i in range(N):
        samples = random.integers(-30000, 30000, RATE // 10 + 16 * i, dtype=np.int16)
        soundfile.write(folder / f"{i:02d}.flac", samples, RATE, subtype="PCM_16")
        (folder / f"{i:02d}.txt").write_text(f"Number {'one' * (i % 3)}")
    return folder


def write(corpus: Path, root: Path, shard_mb: float = 0.063):
    """Pack `corpus` as part "train" of `root`; see `write_shards`."""
    return write_shards(AudioFiles(corpus), root / "train", shard_mb=shard_mb, seed=1, n_workers=0)


def stream_loader(
    root: Path, n_workers: int = 0, *, buffer: int = 12, rank=0, world=1, **keys
) -> Loader:
    """A loader of the stream in batches of four, in an order that is always the same."""
    stream = ShardStream(root, "train", Characters(), shuffle_buffer=buffer)
    order = {"batch_size": 4, "shuffle": True, "seed": 3, "bucket_pool": 2}
    batches = make_batches(stream, **order, rank=rank, world=world)
    return make_loader(stream, batches, n_workers=n_workers, **keys)


def flat(batches) -> list:
    """The items of all batches."""
    return [item for batch in batches for item in batch]


def read(loader, epoch: int = 0, start: int = 0) -> list[list[str]]:
    """Ids of the batches of an epoch, from one of them on."""
    loader.batch_sampler.set_position(epoch, start)
    return [batch.ids for batch in loader]


def damaged(packed: Path, root: Path, harm) -> Path:
    """A copy of the shards with `harm` done to the third."""
    (root / "train").mkdir(parents=True)
    for path in (packed / "train").iterdir():
        (root / "train" / path.name).write_bytes(path.read_bytes())
    harm(root / "train" / "00002.tar")
    return root
