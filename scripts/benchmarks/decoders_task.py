"""What every decoder gets: the same log-probabilities, language model, lexicon and weights."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np

from src.language_models import BOS, EOS, UNK, NGram
from src.text import Vocabulary
from src.utils.errors import UserError
from src.utils.files import atomic_write
from src.utils.mapped import MappedArrays, write_arrays

KIND = "emissions of a benchmark, 1"
BOUNDARY = "|"  # flashlight's sign between words, where our vocabularies have a space


@dataclass(frozen=True)
class Heard:
    """What a model said of each frame, and what was really said.

    Attributes:
        symbols: of the vocabulary, the blank first.
        log_probs: (T, V) float32 of each utterance, natural log.
        texts: one an utterance.
    """

    symbols: tuple[str, ...]
    log_probs: list[np.ndarray]
    texts: list[str]

    @property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.symbols)

    @property
    def n_frames(self) -> int:
        return sum(map(len, self.log_probs))

    def some(self, n: int | None) -> Self:
        """`n` utterances, taken evenly from all, which may be sorted by length; None = all."""
        if n is None or n >= len(self.texts):
            return self
        rows = np.linspace(0, len(self.texts) - 1, n).round().astype(int)
        return self.at(rows)

    def at(self, rows: Iterable[int]) -> Self:
        """The utterances at these places, in this order."""
        rows = list(rows)
        log_probs, texts = [self.log_probs[i] for i in rows], [self.texts[i] for i in rows]
        return type(self)(self.symbols, log_probs, texts)

    def save(self, path: Path) -> None:
        """Write a file that `load` maps, so that all contestants share its pages."""
        lengths = np.array([len(one) for one in self.log_probs], np.int64)
        info = {"kind": KIND, "symbols": self.symbols, "texts": self.texts}
        write_arrays(path, info, {"frames": np.concatenate(self.log_probs), "lengths": lengths})

    @classmethod
    def load(cls, path: Path) -> Self:
        """The content of a file that `save` wrote.

        Raises:
            UserError: not there, damaged, or something else.
        """
        try:
            arrays = MappedArrays(path)
        except (OSError, ValueError) as error:
            raise UserError(
                f"{path}: no emissions can be read ({error}); make them anew."
            ) from None
        if arrays.info.get("kind") != KIND:
            raise UserError(f"{path}: holds no emissions; name another file, or delete it.")
        ends = np.cumsum(arrays["lengths"])[:-1]
        log_probs = np.split(arrays["frames"], ends)
        return cls(tuple(arrays.info["symbols"]), log_probs, arrays.info["texts"])


@dataclass(frozen=True)
class Task:
    """The work of one contestant's process, as JSON on its command line.

    A text y of n words scores log p(y | audio) + lm_weight · log p(y) + bonus · n, natural logs.

    Args:
        emissions: a file of `Heard`.
        language_model: ARPA file of words; None = none, and any text may come out.
        mapped_model: the same model as `NGram.save` writes it, which opens at once.
        lexicon: the words, one a line, as `write_lexicon` spells them.
        n_utterances: taken evenly from the file; None = all.
        copies: how often each is read in a pass; fills the batches as more speech would.
        part: this process decodes every `of_parts`-th utterance, from this one on.
        n_threads: of PyTorch.
    """

    emissions: str
    language_model: str | None = None
    mapped_model: str | None = None
    lexicon: str | None = None
    lm_weight: float = 0.0
    bonus: float = 0.0
    n_utterances: int | None = None
    copies: int = 1
    part: int = 0
    of_parts: int = 1
    n_threads: int = 1

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))

    def everything(self) -> Heard:
        """The utterances of all processes together."""
        heard = Heard.load(Path(self.emissions)).some(self.n_utterances)
        return heard.at([*range(len(heard.texts))] * self.copies)

    def heard(self) -> Heard:
        """This process's utterances, the longest first: batches hold little padding."""
        heard = self.everything()
        return heard.at(self.places(heard))

    def places(self, heard: Heard) -> list[int]:
        """Where this process's utterances stand among all; dealt out by length."""
        order = sorted(range(len(heard.texts)), key=lambda i: -len(heard.log_probs[i]))
        return order[self.part :: self.of_parts]


def write_lexicon(path: Path, model: NGram, vocabulary: Vocabulary) -> int:
    """The model's words that the vocabulary can spell, one a line as flashlight reads them:
    `cat c a t |`. Returns how many there are.

    Raises:
        UserError: none can be spelt.
    """
    words = spellable(model.words, vocabulary.symbols)
    if not words:
        raise UserError("The language model has no word that the emissions' vocabulary can spell.")
    with atomic_write(path, "w", sync=False) as file:
        file.writelines(f"{word} {' '.join(word)} {BOUNDARY}\n" for word in words)
    return len(words)


def spellable(words: Sequence[str], symbols: Sequence[str]) -> list[str]:
    """Those of `words` that are words, and made of the vocabulary's letters alone."""
    letters = set(symbols[1:]) - {" "}
    return [word for word in words if word not in (BOS, EOS, UNK) and set(word) <= letters]


def read_lexicon(path: str | Path) -> list[str]:
    """The words of a lexicon."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return [line.split(" ", 1)[0] for line in lines]
