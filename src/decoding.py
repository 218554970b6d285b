"""From emissions to predictions: all that is done once the model has spoken."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from src.batch import Batch, Emissions, Hypothesis
from src.predictions import Prediction

Heard = tuple[Emissions, Batch]  # what the model says of a batch, whose waveforms are gone
MOST_VALUES = 2**26  # log-probabilities held side by side: 256 MiB


class Decoding:
    """Emissions to predictions: all that another process needs to decode, without the model.

    Args:
        text, decoders, word_decoder: as for `Transcriber`.
        sample_rate: of the waveforms, Hz.
        frame_s: seconds from one emitted frame to the next.
    """

    def __init__(
        self, text, decoders: Mapping, word_decoder, sample_rate: int, frame_s: float
    ) -> None:
        self.text = text
        self.decoders = decoders
        self.word_decoder = word_decoder
        self.sample_rate = sample_rate
        self.frame_s = frame_s

    def __call__(self, emissions: Emissions, batch: Batch) -> list[Prediction]:
        """Predictions of a batch, in its order; of the batch only text and lengths are read."""
        emissions = Emissions(emissions.log_probs.float(), emissions.lengths)
        readings = {name: decoder(emissions) for name, decoder in self.decoders.items()}
        words = self._words(emissions, list(readings.values())[-1])
        seconds = (batch.waveform_lengths / self.sample_rate).tolist()
        return [
            Prediction(
                id=utterance_id,
                unit=self.text.unit,
                readings={name: n_bests[i] for name, n_bests in readings.items()},
                symbols=self.text.vocabulary.symbols,
                frame_s=self.frame_s,
                duration_s=seconds[i],
                target=(batch.targets[i] or None) if batch.targets else None,
                word=self.text.normalise(batch.transcripts[i]) or None
                if batch.transcripts
                else None,
                read_word=words[i][0],
                word_posterior=words[i][1],
            )
            for i, utterance_id in enumerate(batch.ids)
        ]

    def _words(
        self, emissions: Emissions, n_bests: list[list[Hypothesis]]
    ) -> list[tuple[str | None, float | None]]:
        """Words of each utterance, and how sure they are: those that the decoder's own lexicon
        read, else the one word of a closed lexicon, else none."""
        if any(n_best[0].words is not None for n_best in n_bests):
            return [(" ".join(n_best[0].words or ()), None) for n_best in n_bests]
        return self.word_decoder(emissions) if self.word_decoder else [(None, None)] * len(n_bests)


def side_by_side(heard: Iterable[Heard], n: int) -> Iterator[Heard]:
    """Batches put together until they have `n` utterances: a search makes a CPU as many calls for
    one utterance as for hundreds."""
    waiting: list[Heard] = []
    for one in heard:
        if waiting and _values([*waiting, one]) > MOST_VALUES:
            yield joined(waiting)
            waiting = []
        waiting.append(one)
        if sum(len(batch) for _, batch in waiting) >= n:
            yield joined(waiting)
            waiting = []
    if waiting:
        yield joined(waiting)


def _values(heard: Sequence[Heard]) -> int:
    longest = max(emissions.log_probs.shape[1] for emissions, _ in heard)
    width = heard[0][0].log_probs.shape[2]
    return longest * width * sum(len(batch) for _, batch in heard)


def joined(heard: Sequence[Heard]) -> Heard:
    """Several batches as one."""
    if len(heard) == 1:
        return heard[0]
    emissions, batches = zip(*heard, strict=True)
    batch = Batch(
        ids=[name for batch in batches for name in batch.ids],
        waveforms=batches[0].waveforms.new_zeros(sum(map(len, batches)), 0),
        waveform_lengths=torch.cat([batch.waveform_lengths for batch in batches]),
        tokens=_rows([batch.tokens for batch in batches]),
        token_lengths=torch.cat([batch.token_lengths for batch in batches]),
        transcripts=[text for batch in batches for text in batch.transcripts],
        targets=[text for batch in batches for text in batch.targets],
    )
    log_probs = _rows([each.log_probs for each in emissions])
    return Emissions(log_probs, torch.cat([each.lengths for each in emissions])), batch


def _rows(tensors: Sequence[Tensor]) -> Tensor:
    """Rows of tensors (b, T, …) under each other, padded with zeros to the longest T."""
    longest = max(tensor.shape[1] for tensor in tensors)
    rest = [0, 0] * (tensors[0].ndim - 2)
    return torch.cat([functional.pad(x, (*rest, 0, longest - x.shape[1])) for x in tensors])
