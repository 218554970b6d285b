"""Who decodes: our batched beam search and its peers, all maximising the same function.

A text of n words scores log p(text | audio) + lm_weight · log p(text) + bonus · n, in natural logs,
and p(text) counts the end of the sentence. What each takes for that:

- flashlight-text, through torchaudio, multiplies KenLM's log10 by its weight as it is: it gets
  lm_weight · ln 10. Its words end on a silence, so an utterance gets one more frame that surely is
  that boundary and adds log 1. `log_add` sums over alignments, as ours does; by default it takes
  the best one.
- pyctcdecode turns log10 into natural logs itself and gets our weights as they are. Words outside
  the lexicon cost it 10 more in log10 instead of being forbidden, as it is used everywhere.
- fast-ctc-decode knows no language model and reads probabilities.

Only peers that are asked for are imported.
"""

import importlib
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from scripts.benchmarks.decoders_task import BOUNDARY, Heard, Task, read_lexicon
from src.batch import Emissions
from src.decoders import FusedBeam, PrefixBeam
from src.utils.errors import UserError

Setting = Mapping[str, Any]
Decode = Callable[[], list[str]]
BATCH_SIZE = 64  # as configs/inference.yaml
SURE = -1e30  # log-probability of what flashlight shall never take; it knows no −inf


class Contestant(Protocol):
    """A decoder with its language model loaded and its input laid out as it likes it."""

    def decoder(self, setting: Setting) -> Decode:
        """Decodes all utterances, one text each, with these parameters of its own."""


class Ours:
    """`FusedBeam`, or `PrefixBeam` without a language model, over whole batches.

    Its hypotheses carry times and confidences, which no peer but flashlight gives (times).
    """

    def __init__(self, task: Task, heard: Heard) -> None:
        self.task, self.heard = task, heard
        self._batches: dict[int, list[Emissions]] = {}

    def decoder(self, setting: Setting) -> Decode:
        keys = {"n_best": 1, **setting}
        batches = self._cut(keys.pop("batch_size", BATCH_SIZE))
        search = self._search(keys)
        return lambda: [n_best[0].text for batch in batches for n_best in search(batch)]

    def _search(self, keys: dict[str, Any]) -> PrefixBeam:
        task, vocabulary = self.task, self.heard.vocabulary
        if task.language_model is None:
            return PrefixBeam(vocabulary, **keys)
        return FusedBeam(vocabulary, task.mapped_model, task.lm_weight, task.bonus, **keys)

    def _cut(self, size: int) -> list[Emissions]:
        if size not in self._batches:
            rows = [torch.from_numpy(one.copy()) for one in self.heard.log_probs]
            self._batches[size] = [padded(rows[i : i + size]) for i in range(0, len(rows), size)]
        return self._batches[size]


def padded(rows: list[Tensor]) -> Emissions:
    """Log-probabilities (T, V) of utterances side by side."""
    lengths = torch.tensor([len(row) for row in rows])
    return Emissions(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), lengths)


class Flashlight:
    """torchaudio.models.decoder.ctc_decoder, one utterance after another as it comes."""

    def __init__(self, task: Task, heard: Heard) -> None:
        self.build = imported("torchaudio.models.decoder", "flashlight-text").ctc_decoder
        self.task = task
        self.tokens = [heard.symbols[0], *(BOUNDARY if s == " " else s for s in heard.symbols[1:])]
        self.rows = [torch.from_numpy(one.copy())[None] for one in heard.log_probs]
        self.model = None
        if task.language_model is not None:
            self.model = self._load(task)
            last = torch.full((1, 1, len(self.tokens)), SURE)
            last[..., self.tokens.index(BOUNDARY)] = 0.0
            self.rows = [torch.cat([row, last], 1) for row in self.rows]

    def _load(self, task: Task):
        # Once for all settings; ctc_decoder would load it for each.
        dictionary = imported("flashlight.lib.text.dictionary", "flashlight-text")
        kenlm = imported("flashlight.lib.text.decoder.kenlm", "flashlight-text kenlm")
        lexicon = dictionary.load_words(task.lexicon)
        return kenlm.KenLM(task.language_model, dictionary.create_word_dict(lexicon))

    def decoder(self, setting: Setting) -> Decode:
        search = self.build(
            lexicon=self.task.lexicon,
            tokens=self.tokens,
            lm=self.model,
            nbest=1,
            lm_weight=self.task.lm_weight * math.log(10),
            word_score=self.task.bonus,
            blank_token=self.tokens[0],
            sil_token=BOUNDARY if BOUNDARY in self.tokens else self.tokens[0],
            **{"log_add": True, **setting},
        )
        if self.task.lexicon:
            return lambda: [" ".join(search(row)[0][0].words) for row in self.rows]
        return lambda: [self._spell(search(row)[0][0].tokens) for row in self.rows]

    def _spell(self, tokens: Tensor) -> str:
        return "".join(self.tokens[i] for i in tokens.tolist()).replace(BOUNDARY, " ").strip()


class PyCTCDecode:
    """pyctcdecode, written in Python around KenLM."""

    def __init__(self, task: Task, heard: Heard) -> None:
        pyctcdecode = imported("pyctcdecode", "pyctcdecode kenlm")
        words = read_lexicon(task.lexicon) if task.lexicon else None
        self.search = pyctcdecode.build_ctcdecoder(
            ["", *heard.symbols[1:]],
            task.language_model,
            words,
            alpha=task.lm_weight,
            beta=task.bonus,
        )
        self.rows = heard.log_probs

    def decoder(self, setting: Setting) -> Decode:
        return lambda: [self.search.decode(row, **setting) for row in self.rows]


class FastCTCDecode:
    """fast-ctc-decode, written in Rust; without a language model."""

    def __init__(self, task: Task, heard: Heard) -> None:
        if task.language_model is not None:
            raise UserError("fast-ctc-decode knows no language model; leave it out, or yours.")
        self.search = imported("fast_ctc_decode", "fast-ctc-decode").beam_search
        self.symbols = list(heard.symbols)
        self.rows = [np.exp(row) for row in heard.log_probs]

    def decoder(self, setting: Setting) -> Decode:
        return lambda: [self.search(row, self.symbols, **setting)[0].strip() for row in self.rows]


CONTESTANTS: dict[str, type[Contestant]] = {
    "ours": Ours,
    "flashlight": Flashlight,
    "pyctcdecode": PyCTCDecode,
    "fast-ctc-decode": FastCTCDecode,
}


def imported(name: str, packages: str):
    """The module `name`.

    Raises:
        UserError: it isn't installed here; the message tells what to install.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f"{error}; pip install {packages} into this Python.") from None
