"""A recurrent language model of pieces of words: it reads whole sentences, and any word.

Source: Mikolov et al. 2010, "Recurrent neural network based language model", with the LSTM of
Sundermeyer et al. 2012; input and output share their matrix (Press & Wolf 2017, arXiv 1608.05859).
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from src.utils.errors import UserError
from src.utils.files import atomic_write

EDGE = 0  # stands before a sentence and after it
NO_TARGET = -100  # what cross_entropy passes over
KIND = "neural language model, 1"
TOGETHER = 8_192  # tokens scored at once
LARGEST = {"width": 8192, "n_layers": 32}


class NeuralLM(nn.Module):
    """p(token | all tokens of its sentence before it).

    Args:
        pieces: what the tokens 1, 2, … write; 0 is the edge of a sentence.
        width: of the embedding and of each LSTM layer.
        n_layers: LSTM layers.
        dropout: share of values left out in training, before, between and after the layers.
    """

    def __init__(
        self, pieces: Sequence[str], width: int = 512, n_layers: int = 2, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.pieces = tuple(pieces)
        self.settings = {"width": width, "n_layers": n_layers, "dropout": dropout}
        self.embedding = nn.Embedding(len(self.pieces) + 1, width)
        # Small as a last layer must be; what is read is scaled up (Vaswani et al. 2017, 3.4).
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.scale = width**0.5
        self.layers = nn.LSTM(
            width, width, n_layers, batch_first=True, dropout=dropout if n_layers > 1 else 0.0
        )
        self.dropout = nn.Dropout(dropout)
        self.bias = nn.Parameter(torch.zeros(len(self.pieces) + 1))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, T, V) of what follows each of `tokens` (B, T), whose first is the edge."""
        read, _ = self.layers(self.dropout(self.scale * self.embedding(tokens)))
        return functional.linear(self.dropout(read), self.embedding.weight, self.bias)

    @torch.inference_mode()
    def score(self, sentences: Sequence[Sequence[int]]) -> Tensor:
        """Natural log of the probability of each sentence and its end, (B,) float64.

        Which sentences are scored together changes nothing but rounding.
        """
        self.eval()
        scores = torch.zeros(len(sentences), dtype=torch.float64)
        order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
        while order:
            n = max(1, TOGETHER // (len(sentences[order[-1]]) + 1))
            some, order = order[-n:], order[:-n]
            inputs, targets = side_by_side([sentences[i] for i in some])
            inputs, targets = (x.to(self.bias.device) for x in (inputs, targets))
            logits = self(inputs).float().flatten(0, 1)
            losses = functional.cross_entropy(
                logits, targets.flatten(), ignore_index=NO_TARGET, reduction="none"
            )
            scores[some] = -losses.view(targets.shape).double().sum(1).cpu()
        return scores

    def save(self, path: str | Path) -> None:
        """Write weights, pieces and settings into one safetensors file, atomically."""
        facts = {"kind": KIND, "settings": self.settings, "pieces": self.pieces}
        weights = {name: x.detach().cpu().contiguous() for name, x in self.state_dict().items()}
        with atomic_write(path) as file:
            file.write(save(weights, {"language_model": json.dumps(facts, ensure_ascii=False)}))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The model of a file that `save` wrote.

        Raises:
            UserError: not there, damaged, or no such model.
        """
        path = Path(path)
        if not path.is_file():
            raise UserError(
                f"{path}: no such language model; python -m scripts.train_neural_lm learns one."
            )
        try:
            with safe_open(path, "pt") as file:
                facts = json.loads(file.metadata()["language_model"])
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if facts["kind"] != KIND:
                raise ValueError("it holds something else")
            with torch.device("meta"):  # nothing is allocated before the shapes are compared
                model = cls._of(facts)
            model.load_state_dict(weights, assign=True)
            if len(dtypes := {str(x.dtype) for x in weights.values()}) > 1:
                raise ValueError(f"weights of several types: {', '.join(sorted(dtypes))}")
            if not all(x.isfinite().all() for x in weights.values()):
                raise ValueError("a weight is NaN or infinite")
        except (SafetensorError, OSError, TypeError, KeyError, ValueError, RuntimeError) as error:
            raise UserError(
                f"{path}: not a neural language model, or damaged ({error}). "
                "python -m scripts.train_neural_lm learns one."
            ) from error
        return model.eval()

    @classmethod
    def _of(cls, facts: dict) -> Self:
        """The model that a file tells of, with weights of its own."""
        settings, pieces = facts["settings"], facts["pieces"]
        for key, largest in LARGEST.items():
            if type(settings[key]) is not int or not 0 < settings[key] <= largest:
                raise ValueError(f"{key} is {settings[key]}")
        dropout = settings["dropout"]
        if type(dropout) not in (int, float) or not 0 <= dropout <= 1:
            raise ValueError(f"dropout is {dropout}")
        if not all(isinstance(piece, str) for piece in pieces):
            raise ValueError("its pieces are no texts")
        return cls(pieces, **settings)


def side_by_side(sentences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """What the model reads and what it should foretell, each (B, longest + 1) int64.

    The first begins with the edge, the second ends with it; padding is the edge in the one and
    `NO_TARGET` in the other.
    """
    rows = [torch.as_tensor(sentence, dtype=torch.int64) for sentence in sentences]
    edge = torch.tensor([EDGE])
    inputs = pad_sequence([torch.cat([edge, row]) for row in rows], True, EDGE)
    targets = pad_sequence([torch.cat([row, edge]) for row in rows], True, NO_TARGET)
    return inputs, targets
