"""Audio files of all kinds → mono float32 waveforms at the wanted rate, or one clear refusal."""

from src.audio.reading import EXTENSIONS, duration_s, read

__all__ = ["EXTENSIONS", "duration_s", "read"]
