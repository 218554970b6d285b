"""How a speller learns: texts as they would be heard, CTC, AdamW, one cycle, a running mean."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.rnn import pad_sequence

from src.models.speller import Speller
from src.spelling.confusions import Confusions
from src.spelling.written import Written
from src.utils.devices import autocast
from src.utils.errors import UserError
from src.utils.interrupts import ctrl_c_waits

RISE = 0.05  # share of the steps in which the rate rises
MAX_GRAD_NORM = 1.0
DECAY = 0.998  # of the running mean of the weights, which is what is kept
BLANK = 0
NEVER = -20.0  # natural log of what is not written between two segments


@dataclass(frozen=True)
class Recipe:
    """How to learn.

    Attributes:
        n_steps: of AdamW.
        batch_words: words in a step, about.
        lr: the highest learning rate.
        weight_decay: of AdamW.
        seed: of the texts, their errors and the dropout.
    """

    n_steps: int = 8000
    batch_words: int = 750
    lr: float = 1.5e-3
    weight_decay: float = 0.01
    seed: int = 0


class Learner:
    """One training of a speller.

    Args:
        precision: of the matrix products, "float32" or "bf16".

    Attributes:
        step: steps done.
        mean: the running mean of the weights, by name.
    """

    def __init__(
        self,
        speller: Speller,
        text: Written,
        confusions: Confusions,
        recipe: Recipe,
        precision: str,
    ) -> None:
        self.speller, self.text, self.confusions = speller, text, confusions
        self.recipe, self.precision = recipe, precision
        self.device = speller.head.weight.device
        self.optimizer = torch.optim.AdamW(
            speller.parameters(), recipe.lr, betas=(0.9, 0.98), weight_decay=recipe.weight_decay
        )
        self.step = 0
        self.mean = {name: tensor.clone() for name, tensor in speller.state_dict().items()}

    def run(self, after_step: Callable[[float], None]) -> None:
        """Take the steps that are left.

        Args:
            after_step: called with the loss of a token, natural log.

        Raises:
            UserError: a loss or gradient that is not finite; the weights are those before it.
        """
        while self.step < self.recipe.n_steps:
            with ctrl_c_waits():  # a step is done or not, for whoever keeps the state
                loss = self._learn()
            after_step(loss)

    def state(self) -> dict:
        """What `restore` needs to go on from here."""
        return {
            "speller": self.speller.state_dict(),
            "mean": self.mean,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }

    def restore(self, state: dict) -> None:
        """Go on from a state that `state` returned, with the same text, speech and recipe."""
        self.speller.load_state_dict(state["speller"])
        self.mean = {name: tensor.to(self.device) for name, tensor in state["mean"].items()}
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    def _learn(self) -> float:
        recipe = self.recipe
        random = np.random.default_rng((recipe.seed, self.step))
        torch.manual_seed(recipe.seed * 1_000_003 + self.step)  # of dropout
        for group in self.optimizer.param_groups:
            group["lr"] = recipe.lr * rate(self.step, recipe.n_steps)
        said, written = self.text.batch(recipe.batch_words, random)
        heard = [self.confusions.say(tokens, random) for tokens in said]
        self.speller.train()
        loss = mean_loss(self.speller, heard, written, self.precision)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = clip_grad_norm_(self.speller.parameters(), MAX_GRAD_NORM)
        if not (loss.isfinite() and norm.isfinite()):
            raise UserError(
                f"The loss or its gradient is not finite after step {self.step:,}; start over with "
                "a lower learning rate."
            )
        self.optimizer.step()
        self.step += 1
        share = 1 - min(DECAY, self.step / (self.step + 20))  # early weights are soon forgotten
        for name, tensor in self.speller.state_dict().items():
            self.mean[name].lerp_(tensor, share)
        return loss.item()


def mean_loss(
    speller: Speller, heard: list[Tensor], written: list[np.ndarray], precision: str
) -> Tensor:
    """The CTC loss of a token, natural log.

    Args:
        heard: (S, V) posteriors of each text's segments. written: tokens of each text.
        precision: of the matrix products.
    """
    device = speller.head.weight.device
    lengths = torch.tensor([len(some) for some in heard])
    n_written = torch.tensor([len(some) for some in written])
    with autocast(device, precision):
        log_probs = speller(pad_sequence(heard, batch_first=True).to(device), lengths)
    losses = functional.ctc_loss(
        apart(log_probs).transpose(0, 1),
        torch.from_numpy(np.concatenate(written)).to(device),
        (2 * lengths - 1).clamp(min=0),
        n_written,
        reduction="sum",
        zero_infinity=True,  # where too little was heard to write all of it
    )
    return losses / n_written.sum()


def apart(log_probs: Tensor) -> Tensor:
    """(B, S, V) to (B, 2S, V): a blank behind each segment, so that two that write the same write
    it twice, as they do with silent frames between them."""
    blank = log_probs.new_full((log_probs.shape[2],), NEVER)
    blank[BLANK] = 0.0
    return torch.stack([log_probs, blank.expand_as(log_probs)], dim=2).flatten(1, 2)


def rate(step: int, n_steps: int) -> float:
    """Share of the highest learning rate: up in a line, then down along a cosine to nothing."""
    rise = max(1, round(RISE * n_steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 + 0.5 * math.cos(math.pi * (step - rise) / max(1, n_steps - rise))
