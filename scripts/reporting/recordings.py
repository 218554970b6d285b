"""Where the utterances of a prediction folder can be heard: the run's corpora, or a folder."""

import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import soundfile

from scripts.reporting.markup import data_uri
from scripts.reporting.runs import Run
from src.batch import Utterance, to_int16
from src.build import build, build_text
from src.datasets import AudioFiles
from src.utils.errors import UserError

PARTS = ("test", "validation", "train")  # in the order in which a report is likely to need them
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)  # Hz
KINDS = {"opus": ("audio/ogg", "OGG", "OPUS"), "wav": ("audio/wav", "WAV", "PCM_16")}


class Budget:
    """How many bytes of pictures and sounds a page may still take."""

    def __init__(self, n_bytes: int) -> None:
        self.left = n_bytes

    def take(self, uri: str) -> bool:
        """Whether it still fits; what doesn't costs nothing."""
        if len(uri) > self.left:
            return False
        self.left -= len(uri)
        return True


class Recordings:
    """Finds utterances by their ids and reads them when they are asked for.

    Args:
        run: whose config names the corpora; None where only a folder is known.
        folder: recordings whose ids, or stems, are the utterances'; comes first.

    Attributes:
        missing: why places could not be searched.
    """

    def __init__(self, run: Run | None, folder: Path | None) -> None:
        self.missing: list[str] = []
        self._places = _places(run, folder, self.missing)
        self._found: dict[str, tuple[Any, int]] = {}

    def find(self, ids: Sequence[str]) -> None:
        """Search one place after another until all utterances are found."""
        wanted = {alias: name for name in ids for alias in (name, PurePosixPath(name).name)}
        for place in self._places:
            for name, row in _aliases(place):
                if name in wanted:
                    self._found.setdefault(wanted[name], (place, row))
            if all(name in self._found for name in ids):
                return

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def read(self, name: str) -> tuple[Utterance, int]:
        """The utterance and its sample rate in Hz.

        Raises:
            UserError: not found, or its sound is damaged.
        """
        if name not in self._found:
            raise UserError("its recording was not found.")
        place, row = self._found[name]
        return place[row], place.sample_rate


def sound_uri(waveform: np.ndarray, sample_rate: int, kind: str) -> str:
    """A waveform (N,) as a sound inside the page.

    Args:
        kind: "opus", a tenth of the size, or "wav", which plays everywhere. Opus knows five
            sample rates; sound of another becomes WAV.
    """
    mime, container, subtype = KINDS[kind if sample_rate in OPUS_RATES else "wav"]
    buffer = io.BytesIO()
    soundfile.write(buffer, to_int16(waveform), sample_rate, format=container, subtype=subtype)
    return data_uri(mime, buffer.getvalue())


def _places(run: Run | None, folder: Path | None, missing: list[str]) -> Iterator[Any]:
    """Datasets to look into, built only when those before were not enough."""
    if folder is not None:
        yield from _built(lambda: AudioFiles(folder), f"{folder}", missing)
    nodes = run.config.get("dataset") if run else None
    if not isinstance(nodes, dict):
        return
    for text in _built(lambda: build_text(run.config), "the vocabulary", missing):
        for part in PARTS:
            if isinstance(node := nodes.get(part), dict):
                make = partial(build, _unchanging(node), f"dataset.{part}", text=text)
                yield from _built(make, f"the {part} part of the run's corpus", missing)


def _unchanging(node: dict[str, Any]) -> dict[str, Any]:
    """The same dataset, which fetches nothing and makes no folder."""
    node = {
        key: _unchanging(value) if isinstance(value, dict) else value for key, value in node.items()
    }
    index_dir = node.get("index_dir")
    if index_dir is not None and not Path(str(index_dir)).is_dir():
        node["index_dir"] = None
    return node | ({"download": False} if "download" in node else {})


def _built(make: Callable[[], Any], what: str, missing: list[str]) -> Iterator[Any]:
    """What `make` gives, or nothing and a note why."""
    try:
        found = make()
    except (UserError, OSError, KeyError) as error:
        missing.append(f"No recordings from {what}: {error}")
        return
    yield found


def _aliases(place: Any) -> Iterator[tuple[str, int]]:
    """Names of a dataset's utterances and their rows; a loose file's stem is one of its names,
    where no other file has it too."""
    yield from ((str(name), row) for row, name in enumerate(place.ids))
    if isinstance(place, AudioFiles):
        stems = [place.source(row).stem for row in range(len(place))]
        times = Counter(stems)
        yield from ((stem, row) for row, stem in enumerate(stems) if times[stem] == 1)
