"""Consistency of two views of the same speech, beside a loss of each (CR-CTC, Yao et al. 2024)."""

import torch
from torch import Tensor, nn

from src.batch import DeepEmissions, Emissions, padding_mask
from src.loss.ctc import CTCLoss


class Consistent(nn.Module):
    """A loss over two views of each utterance, and how far their emissions are apart.

    After Yao et al. 2024, "CR-CTC: Consistency regularization on CTC for improved speech
    recognition" (arXiv:2410.05101), section 3.2. Both parts are sums in nats: `total` over the
    utterances, each counted as the mean of its two views; `consistency` over their frames. The
    trainer divides both by the same number, the target tokens of a step, so a weight between
    them means here what it means in the paper, and `total` over `n_tokens` is the loss of a run
    with one view.

    Args:
        loss: of one view, `(emissions, tokens, token_lengths) -> CTCLoss`, with or without layers
            in between.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss

    def forward(
        self, emissions: Emissions | DeepEmissions, tokens: Tensor, token_lengths: Tensor
    ) -> CTCLoss:
        """Emissions (2B, T_out, V) of all first views, then all second; tokens as for `loss`.

        Args:
            tokens: (B, S) int64, said in both views; `token_lengths` (B,) int64.

        Returns:
            `CTCLoss` of B utterances with its `consistency`. One without an alignment is flagged
            once, and its frames are not compared.
        """
        lengths = emissions.lengths[: len(token_lengths)]
        views = _views(emissions, lengths)
        a, b = (self.loss(view, tokens, token_lengths) for view in views)
        of_layers = None if a.intermediate is None else (a.intermediate + b.intermediate) / 2
        compared = lengths.masked_fill(a.impossible, 0)
        return CTCLoss(
            total=(a.total + b.total) / 2,
            per_utterance=(a.per_utterance + b.per_utterance) / 2,
            n_tokens=a.n_tokens,
            impossible=a.impossible,
            consistency=consistency(*(view.log_probs for view in views), compared),
            intermediate=of_layers,
        )


def _views(
    emissions: Emissions | DeepEmissions, lengths: Tensor
) -> list[Emissions | DeepEmissions]:
    """Emissions (2B, …) as those of the first views and of the second, of `lengths` (B,)."""
    views = emissions.log_probs.chunk(2)
    if isinstance(emissions, Emissions):
        return [Emissions(view, lengths) for view in views]
    layers = zip(*(layer.chunk(2) for layer in emissions.between), strict=True)
    return [DeepEmissions(view, lengths, layer) for view, layer in zip(views, layers, strict=True)]


def consistency(a: Tensor, b: Tensor, lengths: Tensor) -> Tensor:
    """½ Σ_t [KL(p_b,t ‖ p_a,t) + KL(p_a,t ‖ p_b,t)] over the frames of all utterances, in nats.

    In each divergence the first distribution is a target: no gradient passes through it, so that
    each view learns from the other and none runs to meet it.

    Args:
        a, b: log-probabilities of the two views, (B, T_out, V); float32 at least is computed in.
        lengths: frames of each utterance that count, (B,) int64; the padding may hold anything.
    """
    padding = padding_mask(lengths, a.shape[1], a.device)[:, :, None]
    dtype = torch.promote_types(a.dtype, torch.float32)
    a, b = (view.to(dtype).masked_fill(padding, 0) for view in (a, b))
    return (_divergence(b.detach(), a) + _divergence(a.detach(), b)) / 2


def _divergence(target: Tensor, found: Tensor) -> Tensor:
    """Σ KL(target ‖ found) of log-probabilities, a scalar."""
    return (target.exp() * (target - found)).sum()
