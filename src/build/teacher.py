"""trainer.teacher → a recogniser that another one learns from."""

import logging
from typing import Any

from torch import nn

from src.build.inference import rebuilt
from src.recognizer import Recognizer
from src.trainer import Settings, Teacher, find_checkpoint, load_checkpoint
from src.transforms import TimeWarp
from src.utils.errors import UserError
from src.utils.tables import counted

told = logging.getLogger(__name__)

EVEN = 1e-6  # of a frame, which float rounding may be off


def build_teacher(
    settings: Settings, student: Recognizer, objective: str, text: Any
) -> Teacher | None:
    """The checkpoint that `settings` name, on the CPU; None where they name none.

    Args:
        objective: of the training.
        text: of the student.

    Raises:
        UserError: no checkpoint there, or one of another vocabulary or sample rate, or whose
            frames don't fit into the student's; or another objective than CTC.
    """
    if not settings.teacher:
        return None
    try:
        if objective != "ctc":
            raise UserError(f"expected objective=ctc, not {objective}.")
        file = find_checkpoint(settings.teacher)
        words, teacher, state = rebuilt(load_checkpoint(file), file)
        check_symbols(words, text)
        n_frames = frames_in_one(teacher, student)
    except UserError as error:
        raise UserError(f"trainer.teacher={settings.teacher}: {error}") from error
    told.info(
        "trainer.teacher=%s: %s%s, %s to one of this model.",
        *(settings.teacher, file, f" of step {state['step']:,}" if "step" in state else ""),
        counted(n_frames, "frame"),
    )
    return Teacher(teacher, settings.teacher_share, n_frames, settings.precision)


def check_symbols(text: Any, of_student: Any) -> None:
    """Raise UserError unless both write the same symbols in the same order."""
    theirs, ours = (list(words.vocabulary.symbols) for words in (text, of_student))
    if theirs == ours:
        return
    pairs = enumerate(zip(theirs, ours, strict=False))
    first = next((f": no. {i} is {a!r} there, {b!r} here" for i, (a, b) in pairs if a != b), "")
    raise UserError(
        f"it writes {len(theirs)} symbols, this text {len(ours)}, and they are not the "
        f"same{first}. Choose the text that the teacher was trained with."
    )


def frames_in_one(teacher: Recognizer, student: Recognizer) -> int:
    """Frames of the teacher that last as long as one of the student.

    Raises:
        UserError: not a whole number, or the two hear at different rates.
    """
    if teacher.sample_rate != student.sample_rate:
        raise UserError(
            f"it listens at {teacher.sample_rate} Hz, this transform at {student.sample_rate} Hz."
        )
    ratio = student.frame_s / teacher.frame_s
    n_frames = round(ratio)
    if n_frames < 1 or abs(ratio - n_frames) > EVEN:
        raise UserError(
            f"it emits every {1000 * teacher.frame_s:g} ms and this model every "
            f"{1000 * student.frame_s:g} ms; expected a whole multiple."
        )
    return n_frames


def check_moments(augment: nn.Module) -> None:
    """Raise UserError if an augmentation of features moves frames, which a teacher doesn't see."""
    if any(isinstance(part, TimeWarp) for part in augment.modules()):
        raise UserError(
            "trainer.teacher: time_warp moves the frames of this model and not the teacher's. "
            "Leave it out with ~augment.features.time_warp; speeds of waveforms reach both."
        )
