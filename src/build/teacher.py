"""trainer.teacher → a recogniser that another one learns from."""

from typing import Any

from src.build.inference import load_recognizer
from src.recognizer import Recognizer
from src.trainer import Settings, Teacher
from src.utils.errors import UserError

EVEN = 1e-6  # of a frame, which float rounding may be off


def build_teacher(
    settings: Settings, student: Recognizer, objective: str, text: Any
) -> Teacher | None:
    """The checkpoint that `settings` name, on the student's device; None where they name none.

    Args:
        objective: of the training.
        text: of the student.

    Raises:
        UserError: no checkpoint there, or one of another vocabulary or sample rate, or whose
            frames don't fit into the student's; or another objective than CTC.
    """
    path = settings.teacher
    if path is None:
        return None
    if objective != "ctc":
        raise UserError(f"trainer.teacher={path}: expected objective=ctc, not {objective}.")
    words, teacher, _ = load_recognizer(path)
    check_alike(path, words, text)
    if teacher.sample_rate != student.sample_rate:
        raise UserError(
            f"trainer.teacher={path}: it listens at {teacher.sample_rate} Hz, this transform at "
            f"{student.sample_rate} Hz."
        )
    device = next(student.parameters()).device
    n_frames = frames_in_one(path, teacher, student)
    return Teacher(teacher.to(device), settings.teacher_share, n_frames, settings.precision)


def check_alike(path: str, text: Any, of_student: Any) -> None:
    """Raise UserError unless both write the same symbols in the same order."""
    theirs, ours = (list(words.vocabulary.symbols) for words in (text, of_student))
    if theirs != ours:
        raise UserError(
            f"trainer.teacher={path}: it writes {len(theirs)} symbols, this text {len(ours)}, and "
            "they are not the same. Choose the text that the teacher was trained with."
        )


def frames_in_one(path: str, teacher: Recognizer, student: Recognizer) -> int:
    """Frames of the teacher that last as long as one of the student.

    Raises:
        UserError: not a whole number.
    """
    ratio = student.frame_s / teacher.frame_s
    n_frames = round(ratio)
    if n_frames < 1 or abs(ratio - n_frames) > EVEN:
        raise UserError(
            f"trainer.teacher={path}: it emits every {1000 * teacher.frame_s:g} ms and this model "
            f"every {1000 * student.frame_s:g} ms; expected a whole multiple."
        )
    return n_frames
