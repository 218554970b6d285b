"""What half precision changes: the same speech read by the same model before and after."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from torch import nn
from torch.utils.data import Dataset
from tqdm import tqdm

from src.batch import Utterance
from src.build import build, build_transcriber
from src.datasets import AudioFiles, collate
from src.predictions import Prediction, corpus_rates
from src.utils.errors import UserError
from src.utils.tables import counted, percent

GREEDY = {"_target_": "src.decoders.Greedy"}
N_SHOWN = 5  # utterances that are read otherwise


class Difference(NamedTuple):
    """Of the greedy readings of two recognisers."""

    n: int  # utterances compared
    changed: list[tuple[str, str, str]]  # id, text before, text after
    largest: float  # difference of a log-probability, natural log
    rates: dict[str, tuple[float, float]]  # error rates before and after, where texts are known


def utterances(
    source: str | None, config: Mapping[str, Any] | None, text: Any, sample_rate: int, n: int
) -> list[Utterance]:
    """`n` recordings to compare on, spread over all that there are.

    Args:
        source: file, folder or glob; None takes the validation utterances of the run.
        config: of the run, where it is known.

    Raises:
        UserError: there are none.
    """
    if source is not None:
        dataset = AudioFiles(source, text=text, sample_rate=sample_rate)
    else:
        dataset = _validation(config, text)
    rows = np.unique(np.linspace(0, len(dataset) - 1, n).round().astype(int))
    return [dataset[int(row)] for row in rows]


def compare(
    text: Any, before: nn.Module, after: nn.Module, speech: Iterable[Utterance]
) -> Difference:
    """The `Difference` between two recognisers in evaluation mode, one utterance at a time."""
    readers = [build_transcriber(r, text, GREEDY, "float32") for r in (before, after)]
    read: tuple[list[Prediction], list[Prediction]] = ([], [])
    largest = 0.0
    for utterance in tqdm(speech, desc="comparing", unit="utterance", leave=False, disable=None):
        batch = collate([utterance])
        emissions = [reader.emissions(batch) for reader in readers]
        for reader, emitted, found in zip(readers, emissions, read, strict=True):
            found += reader.predict(emitted, batch)
        apart = (emissions[0].log_probs - emissions[1].log_probs).abs()
        largest = max(largest, float(apart.max()) if apart.numel() else 0.0)
    changed = [
        (one.id, one.best.text, other.best.text)
        for one, other in zip(*read, strict=True)
        if one.best.text != other.best.text
    ]
    rates = [corpus_rates(found) for found in read]
    both = {name: (rates[0][name], rates[1][name]) for name in rates[0]}
    return Difference(len(read[0]), changed, largest, both)


def told(found: Difference) -> str:
    """Lines for a terminal: how many texts changed, which, and what that does to the rates."""
    lines = [
        f"greedy texts of {counted(found.n, 'utterance')}: {len(found.changed) or 'none'} changed; "
        f"largest difference of a log-probability {found.largest:.3g}"
    ]
    for name, before, after in found.changed[:N_SHOWN]:
        lines += [f"  {name}", f"    before: {before}", f"    after:  {after}"]
    for name, (before, after) in found.rates.items():
        lines.append(f"  {name.upper()} {percent(before)} before, {percent(after)} after")
    return "\n".join(lines)


def _validation(config: Mapping[str, Any] | None, text: Any) -> Dataset[Utterance]:
    node = (config or {}).get("dataset")
    node = node.get("validation") if isinstance(node, Mapping) else None
    if node is None:
        raise UserError(
            "No config.yaml of the run beside its checkpoints, so its validation speech is not "
            "known; name recordings with --input."
        )
    try:
        return build(node, "dataset.validation", text=text)
    except UserError as error:
        raise UserError(
            f"The run's validation speech can't be read ({error}) Name recordings with --input."
        ) from error
