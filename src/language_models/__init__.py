"""n-gram language models: read, write, estimated from text, and looked up in tensors."""

from src.language_models.arpa import read_arpa, write_arpa
from src.language_models.grams import BOS, EOS, SPACE, UNK, Grams
from src.language_models.kneser_ney import estimate
from src.language_models.ngram import NGram

__all__ = ["BOS", "EOS", "SPACE", "UNK", "Grams", "NGram", "estimate", "read_arpa", "write_arpa"]
