"""Learning rates as a function of the step alone, so that resuming needs no state.

Each schedule is called with (step, total_steps) and answers with a factor of the peak
learning rate, which the optimizer's config states. Steps count from 0.
"""

import math

from torch.optim import Optimizer

from src.utils.errors import UserError


class Constant:
    """The same learning rate throughout, after an optional linear warm-up."""

    def __init__(self, warmup_steps: int = 0) -> None:
        self.warmup_steps = _warmup(warmup_steps)

    def __call__(self, step: int, total_steps: int) -> float:
        return min(1.0, (step + 1) / (self.warmup_steps + 1))


class OneCycle:
    """Up and down along a cosine or a line (Smith & Topin 2018).

    From 1 / div_factor to 1 in the first `rise_share` of the steps, then down to
    1 / (div_factor × final_div_factor); the same rates as PyTorch's OneCycleLR.
    """

    def __init__(
        self,
        rise_share: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        shape: str = "cos",
    ) -> None:
        if shape not in ("cos", "linear") or not 0 < rise_share < 1:
            raise UserError(
                f"schedule: shape={shape}, rise_share={rise_share}; expected shape cos or linear "
                "and a rise_share between 0 and 1."
            )
        if not (0 < div_factor < math.inf and 0 < final_div_factor < math.inf):
            raise UserError(
                f"schedule: div_factor={div_factor}, final_div_factor={final_div_factor}; expected "
                "two finite values above 0."
            )
        self.rise_share = rise_share
        self.start = 1 / div_factor
        self.end = 1 / (div_factor * final_div_factor)
        self.shape = shape

    def __call__(self, step: int, total_steps: int) -> float:
        peak = self.rise_share * total_steps - 1
        if 0 < peak >= step:  # a run whose rise has no more than one step begins at its peak
            return self._between(self.start, 1.0, step / peak)
        share = (step - peak) / (total_steps - 1 - peak) if total_steps - 1 > peak else 1.0
        return self._between(1.0, self.end, min(1.0, share))

    def _between(self, first: float, last: float, share: float) -> float:
        if self.shape == "linear":
            return first + (last - first) * share
        return last + (first - last) / 2 * (1 + math.cos(math.pi * share))


class WarmupCosine:
    """Linear warm-up, then half a cosine that reaches `final_factor` at the last step.

    Loshchilov & Hutter 2017 (arXiv 1608.03983), equation 5, without restarts.
    """

    def __init__(self, warmup_steps: int, final_factor: float = 0.01) -> None:
        if not 0 <= final_factor < math.inf:
            raise UserError(
                f"schedule: final_factor={final_factor}; expected a finite value from 0 up."
            )
        self.warmup_steps = _warmup(warmup_steps)
        self.final_factor = final_factor

    def __call__(self, step: int, total_steps: int) -> float:
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        length = max(1, total_steps - 1 - self.warmup_steps)
        cosine = (1 + math.cos(math.pi * min(1.0, (step - self.warmup_steps) / length))) / 2
        return self.final_factor + (1 - self.final_factor) * cosine


class Cyclic:
    """Triangles between `low_factor` and the peak, `n_cycles` in the run.

    Smith 2017 (arXiv 1506.01186), section 3: "triangular" at decay=1, "triangular2" at 0.5.
    """

    def __init__(self, n_cycles: int = 4, low_factor: float = 0.1, decay: float = 0.5) -> None:
        if n_cycles < 1 or not 0 < low_factor <= 1 or not 0 < decay <= 1:
            raise UserError(
                f"schedule: n_cycles={n_cycles}, low_factor={low_factor}, decay={decay}; expected "
                "one cycle or more and two values above 0, up to 1."
            )
        self.n_cycles = n_cycles
        self.low_factor = low_factor
        self.decay = decay

    def __call__(self, step: int, total_steps: int) -> float:
        cycle, share = divmod(min(step, total_steps - 1) / total_steps * self.n_cycles, 1)
        height = self.decay**cycle * (1 - abs(2 * share - 1))
        return self.low_factor + (1 - self.low_factor) * height


class Noam:
    """Linear warm-up, then 1/√step (Vaswani et al. 2017, section 5.3), scaled to peak at 1."""

    def __init__(self, warmup_steps: int) -> None:
        self.warmup_steps = max(1, _warmup(warmup_steps))

    def __call__(self, step: int, total_steps: int) -> float:
        n = step + 1
        return min(n / self.warmup_steps, math.sqrt(self.warmup_steps / n))


class Exponential:
    """Linear warm-up, then a decay that reaches `final_factor` at the last step."""

    def __init__(self, warmup_steps: int = 0, final_factor: float = 0.01) -> None:
        if not 0 < final_factor < math.inf:
            raise UserError(
                f"schedule: final_factor={final_factor}; expected a finite value above 0."
            )
        self.warmup_steps = _warmup(warmup_steps)
        self.final_factor = final_factor

    def __call__(self, step: int, total_steps: int) -> float:
        if step < self.warmup_steps:
            return (step + 1) / (self.warmup_steps + 1)
        length = max(1, total_steps - 1 - self.warmup_steps)
        return self.final_factor ** min(1.0, (step - self.warmup_steps) / length)


def _warmup(steps: int) -> int:
    if steps < 0:
        raise UserError(f"schedule: warmup_steps={steps}; expected 0 or more.")
    return steps


def set_learning_rate(optimizer: Optimizer, factor: float) -> float:
    """Give each parameter group its peak rate times `factor`; the first group's new rate."""
    for group in optimizer.param_groups:
        group.setdefault("peak_lr", group["lr"])
        group["lr"] = group["peak_lr"] * factor
    return optimizer.param_groups[0]["lr"]
