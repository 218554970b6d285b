"""Every model learns: a step in each precision moves it, and one small batch is soon known."""

import pytest
import torch

from src.batch import padding_mask
from src.loss import CTC
from tests.models.zoo import CONFIGS, NARROW, build, every_config, side_by_side, utterances

# Narrow layers learn slowly, whole models take long: a sixteenth or so of the whole.
SMALL = NARROW | {
    "channels": [8, 8, 16, 16],
    "n_channels": 8,
    "rnn_width": 32,
    "width": 32,
    "n_rnn_layers": 2,
    "n_cnn_layers": 1,
    "dropout": 0.0,
}
# Its convolutions have no key to narrow them, and take as long as all other models together.
SLOW = {"deepspeech2_conv"}
QUICK = [config for config in CONFIGS if config.stem not in SLOW]
PEAK_LR, WARM_UP = 5e-3, 20
LENGTHS = (48, 40, 33, 48)
TOKENS = ((1, 2, 3), (4, 4), (5,), (6, 1, 6, 2))


def batch() -> tuple:
    """Four utterances whose features say nothing of their tokens: they can only be remembered."""
    tokens = torch.zeros(len(TOKENS), 4, dtype=torch.int64)
    for row, spoken in zip(tokens, TOKENS, strict=True):
        row[: len(spoken)] = torch.tensor(spoken)
    return side_by_side(utterances(*LENGTHS)), (tokens, torch.tensor([len(t) for t in TOKENS]))


def small(config) -> torch.nn.Module:
    torch.manual_seed(0)
    return build(config, **SMALL).train()


@every_config
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_one_step_in_either_precision_brings_the_loss_of_its_batch_down(config, precision):
    model, loss = small(config), CTC()
    features, targets = batch()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            emissions = model(*features)
        total = loss(emissions, *targets).total
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(total.item())
    assert losses[1] < losses[0]


@pytest.mark.parametrize("config", QUICK, ids=lambda path: path.stem)
def test_one_small_batch_is_learnt_by_heart_in_a_few_dozen_steps(config):
    model, loss = small(config), CTC()
    features, targets = batch()
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    for step in range(150):
        for group in optimizer.param_groups:
            group["lr"] = PEAK_LR * min(1.0, (step + 1) / WARM_UP)
        total = loss(model(*features), *targets).total
        optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        if total.item() < 0.05:
            break
    assert total.item() < 0.05, f"{total.item():.3f} after {step + 1} steps"
    with torch.no_grad():
        best = model(*features)
    paths = best.log_probs.argmax(-1)
    paths = paths.masked_fill(padding_mask(best.lengths, paths.shape[1]), 0)
    read = [[int(t) for t in path.unique_consecutive() if t] for path in paths]
    assert read == [list(spoken) for spoken in TOKENS]
