"""Comet, online, offline or not at all."""

import logging
import os
import secrets
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from src.logger.base import Logger
from src.logger.stored import config_of, kept_id
from src.utils.errors import UserError

_log = logging.getLogger(__name__)
MODES = ("online", "offline", "disabled")


class Comet(Logger):
    """One Comet experiment for one run folder, however often that is resumed.

    What Comet gathers by itself (code, console, environment) stays off: the run folder has it.

    Args:
        run_dir: folder of the run; offline archives go to `run_dir/comet`, the experiment's key to
            `comet_id.txt`, and `config.yaml`, where there, is sent along as its parameters.
        mode: "online", "offline" (upload later with `comet upload`) or "disabled".
        project: project the experiment belongs to.
        workspace: user or team; None is the key's default.
        name: how the experiment is called there; None is the name of `run_dir`.
        tags: labels to filter experiments by.

    Raises:
        UserError: unknown mode, comet_ml is not installed, or "online" without a key.
    """

    def __init__(
        self,
        run_dir: str | Path,
        mode: str = "online",
        project: str = "ctc-speech-recognition",
        workspace: str | None = None,
        name: str | None = None,
        tags: list[str] | None = None,
    ) -> None:
        if mode not in MODES:
            raise UserError(f"logger.mode={mode}: unknown; use one of {', '.join(MODES)}.")
        self._experiment = None
        if mode == "disabled":
            return
        comet_ml = _import_comet()
        if mode == "online" and not comet_ml.get_config("comet.api_key"):
            raise UserError(
                "logger.mode=online: Comet can't log in (no key was found); run `comet login` "
                "once, set COMET_API_KEY, or choose logger.mode=offline."
            )
        run_dir = Path(run_dir)
        arguments = {
            "project_name": project,
            "workspace": workspace,
            "experiment_key": kept_id(run_dir / "comet_id.txt", lambda: secrets.token_hex(16)),
        }
        folder = run_dir / "comet"
        folder.mkdir(parents=True, exist_ok=True)
        self._sounds = TemporaryDirectory(dir=folder, prefix="sounds-")
        settings = _quiet(comet_ml, folder, name or run_dir.resolve().name, list(tags or ()))
        self._experiment = _start(comet_ml, mode, arguments, settings)
        self._experiment.log_parameters(config_of(run_dir) or {})

    def scalars(self, step: int, values: dict[str, float]) -> None:
        if self._experiment:
            self._experiment.log_metrics(values, step=step)

    def image(self, step: int, name: str, rgb: np.ndarray) -> None:
        if self._experiment:
            self._experiment.log_image(Image.fromarray(rgb), name=name, step=step)

    def audio(self, step: int, name: str, waveform: np.ndarray, sample_rate: int) -> None:
        if self._experiment:
            # Read when Comet's thread gets to it, so it stays until the end.
            file = Path(self._sounds.name) / f"{secrets.token_hex(8)}.wav"
            soundfile.write(file, waveform, sample_rate, subtype="PCM_16")
            self._experiment.log_audio(str(file), file_name=f"{name}.wav", step=step)

    def table(self, step: int, name: str, columns: list[str], rows: list[list]) -> None:
        if self._experiment:
            # A table has no step there; each step gets a file of its own.
            file = f"{name}/{step:08}.csv"
            self._experiment.log_table(file, tabular_data=rows, headers=columns)

    def text(self, step: int, name: str, text: str) -> None:
        if self._experiment:
            self._experiment.log_text(text, step=step, metadata={"name": name})

    def close(self) -> None:
        if self._experiment:
            self._experiment.end()
            self._experiment = None
            self._sounds.cleanup()


def _start(comet_ml: Any, mode: str, arguments: dict[str, Any], settings: Any) -> Any:
    arguments |= {"mode": "get_or_create", "experiment_config": settings}
    if mode == "offline":
        return comet_ml.start(online=False, **arguments)
    try:
        return comet_ml.start(online=True, **arguments)
    except Exception as error:  # whatever the network or the server came up with
        _log.warning(
            "Comet could not be reached (%s). Training goes on offline; upload later with "
            "`comet upload %s`.",
            " ".join(str(error).split())[:200],
            Path(settings.offline_directory) / "*.zip",
        )
        return comet_ml.start(online=False, **arguments)


def _quiet(comet_ml: Any, folder: Path, name: str, tags: list[str]) -> Any:
    """Settings under which Comet takes what it is given, and looks for nothing by itself."""
    gathered = ("log_code", "log_graph", "parse_args", "log_git_metadata", "log_git_patch")
    gathered += ("log_env_details", "auto_output_logging", "auto_param_logging")
    gathered += ("auto_metric_logging", "auto_log_co2")
    return comet_ml.ExperimentConfig(
        name=name,
        tags=tags,
        offline_directory=str(folder),
        display_summary_level=0,
        **dict.fromkeys(gathered, False),
    )


def _import_comet() -> Any:
    # Otherwise its import patches other packages, and reports on Comet's own health.
    os.environ.setdefault("COMET_DISABLE_AUTO_LOGGING", "1")
    os.environ.setdefault("COMET_ERROR_TRACKING_ENABLE", "false")
    try:
        import comet_ml
    except ImportError as error:
        raise UserError(
            "logger=comet: Comet is not installed; run `pip install comet_ml` or choose "
            "logger=jsonl."
        ) from error
    return comet_ml
