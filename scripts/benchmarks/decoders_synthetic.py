"""Log-probabilities made from text: speech without speech, in any size, to see what grows how.

Words are random strings of letters, sentences a random walk in which each word has a few
favourite successors, and each token is heard in a frame or two between blanks, now and then less
well than another one. Nothing of it says anything about a model; all of it costs a decoder work.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scripts.benchmarks.decoders_task import Heard
from src.language_models import estimate, write_arpa

FIRST_LETTER = 0x4E00  # a range of Unicode with 20,000 letters in a row, none of them a space
WORDS_A_SENTENCE = 15
N_FAVOURITES = 8  # successors of each word, after which it has more


@dataclass(frozen=True)
class Synthetic:
    """Sizes of what is made; the same sizes make the same.

    Args:
        n_symbols: of the vocabulary, with blank and space.
        n_words: of the language.
        n_sentences: of the text that the language model learns from.
        n_utterances: heard.
    """

    n_symbols: int = 30
    n_words: int = 5000
    n_sentences: int = 20_000
    n_utterances: int = 64
    seed: int = 0

    def write(self, folder: Path) -> tuple[Path, Path]:
        """Files of the emissions and of a 3-gram language model (ARPA)."""
        rng = np.random.default_rng(self.seed)
        folder.mkdir(parents=True, exist_ok=True)
        symbols = ("<blank>", " ", *(chr(FIRST_LETTER + i) for i in range(self.n_symbols - 2)))
        words = self._words(symbols[2:], rng)
        sentences = list(self._sentences(words, self.n_sentences + self.n_utterances, rng))
        learnt, said = sentences[: self.n_sentences], sentences[self.n_sentences :]
        write_arpa(estimate(iter(learnt), order=3), folder / "words.arpa")
        texts = [" ".join(words) for words in said]
        index = {symbol: i for i, symbol in enumerate(symbols)}
        log_probs = [hear([index[c] for c in text], self.n_symbols, rng) for text in texts]
        Heard(symbols, log_probs, texts).save(folder / "emissions")
        return folder / "emissions", folder / "words.arpa"

    def _words(self, letters: tuple[str, ...], rng: np.random.Generator) -> list[str]:
        # Of few letters words are long, of many short, as in alphabets and in syllabaries.
        mean = 1 + 16 / np.log2(len(letters))
        words: dict[str, None] = {}
        while len(words) < self.n_words:
            length = 1 + rng.poisson(mean - 1)
            words["".join(rng.choice(letters, length))] = None
        return list(words)

    def _sentences(self, words: list[str], n: int, rng: np.random.Generator) -> Iterator[list[str]]:
        n_words = len(words)
        favourites = rng.integers(n_words, size=(n_words, N_FAVOURITES))
        said = np.zeros((n, WORDS_A_SENTENCE), np.int64)
        for place in range(WORDS_A_SENTENCE):
            rare = (n_words ** rng.random(n)).astype(np.int64) - 1  # Zipf: p ~ 1 / rank
            rank = np.minimum(rng.geometric(0.5, n) - 1, N_FAVOURITES - 1)
            liked = favourites[said[:, place - 1], rank]
            is_liked = (rng.random(n) < 0.8) & (place > 0)
            said[:, place] = np.where(is_liked, liked, rare)
        for row in said:
            yield [words[i] for i in row]


def hear(tokens: list[int], n_symbols: int, rng: np.random.Generator) -> np.ndarray:
    """(T, V) float32 log-probabilities of a peaky CTC model that hears `tokens`."""
    frames: list[tuple[int, bool]] = [(0, False)]
    for token in tokens:
        frames += [(token, True)] * (1 + (rng.random() < 0.3))
        frames += [(0, False)] * int(rng.geometric(0.4))
    truth, is_token = map(np.array, zip(*frames, strict=True))
    logits = rng.normal(0, 2.0, (len(frames), n_symbols))
    rows = np.arange(len(frames))
    logits[rows, truth] = 11 + rng.normal(0, 2, len(frames))
    # Every third token sounds about as much like another one.
    confused = np.flatnonzero(is_token & (rng.random(len(frames)) < 0.35))
    others = rng.integers(2, n_symbols, len(confused))
    logits[confused, others] = logits[confused, truth[confused]] + rng.normal(0, 2, len(confused))
    logits -= np.log(np.exp(logits).sum(1, keepdims=True))
    return logits.astype(np.float32)
