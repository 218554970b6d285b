"""Language models: n-grams, estimated from text and looked up in tensors; and recurrent ones."""

from src.language_models.arpa import EXACT, is_arpa, read_arpa, write_arpa
from src.language_models.corpus import lines, sentences
from src.language_models.evaluate import Perplexity, perplexity
from src.language_models.grams import BOS, EOS, HIGHEST_ORDER, SPACE, UNK, Grams
from src.language_models.kneser_ney import estimate
from src.language_models.neural import NeuralLM
from src.language_models.ngram import NGram

__all__ = [
    "BOS",
    "EOS",
    "EXACT",
    "HIGHEST_ORDER",
    "SPACE",
    "UNK",
    "Grams",
    "NGram",
    "NeuralLM",
    "Perplexity",
    "estimate",
    "is_arpa",
    "lines",
    "perplexity",
    "read_arpa",
    "sentences",
    "write_arpa",
]
