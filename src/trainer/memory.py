"""What to do where memory doesn't suffice for a training step, and how that is noticed."""

import torch

LESS_AT_ONCE = (
    "Halve loader.max_batch_s or loader.batch_size, double trainer.accumulate, and resume."
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says so, whichever part of PyTorch raised it."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    text = str(error)
    # The last is what oneDNN says where it gets none for its code.
    signs = ("out of memory", "can't allocate memory", "could not create a primitive")
    return any(sign in text for sign in signs)
