"""Config → objects. With the entry points, the only place that knows how parts fit together."""

from src.build.inference import build_inference, load_recognizer
from src.build.parts import build_augment, build_recognizer, build_text, build_transcriber
from src.build.targets import build, check_keys, check_top, plain
from src.build.training import KEYS, build_trainer
from src.build.tuned import save_tuned

__all__ = [
    "KEYS",
    "build",
    "build_augment",
    "build_inference",
    "build_recognizer",
    "build_text",
    "build_trainer",
    "build_transcriber",
    "check_keys",
    "check_top",
    "load_recognizer",
    "plain",
    "save_tuned",
]
