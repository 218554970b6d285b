"""Weights & Biases, online, offline or not at all."""

import html
import logging
import os
import secrets
from pathlib import Path
from typing import Any

import numpy as np

from src.logger.base import Logger
from src.logger.stored import config_of, kept_id
from src.utils.errors import UserError

_log = logging.getLogger(__name__)
MODES = ("online", "offline", "disabled")


class WandB(Logger):
    """One W&B run for one run folder, however often that is resumed.

    Nobody is ever asked to log in: "online" wants a key found beforehand, the others want
    none. A server that can't be reached within `init_timeout_s` turns the run offline with a
    warning. Steps travel as a column of their own, so a resumed run may repeat some.

    Args:
        run_dir: folder of the run; files go to `run_dir/wandb`, the run's id to `wandb_id.txt`,
            and `config.yaml`, where there, is sent along as the run's configuration.
        mode: "online", "offline" (upload later with `wandb sync`) or "disabled".
        project: project the run belongs to.
        entity: user or team; None is the key's default.
        name: how the run is called there; None is the name of `run_dir`.
        tags: labels to filter runs by.
        init_timeout_s: seconds to wait for the server at the start.
        finish_timeout_s: seconds to wait for the upload at the end.

    Raises:
        UserError: unknown mode, wandb is not installed, or "online" without a key.
    """

    def __init__(
        self,
        run_dir: str | Path,
        mode: str = "online",
        project: str = "ctc-speech-recognition",
        entity: str | None = None,
        name: str | None = None,
        tags: list[str] | None = None,
        init_timeout_s: float = 30,
        finish_timeout_s: float = 120,
    ) -> None:
        if mode not in MODES:
            raise UserError(f"logger.mode={mode}: unknown; use one of {', '.join(MODES)}.")
        self._run = None
        if mode == "disabled":
            return
        self._wandb = _import_wandb()
        if mode == "online":
            _find_key(self._wandb)
        run_dir = Path(run_dir)
        arguments = {
            "dir": run_dir,
            "id": kept_id(run_dir / "wandb_id.txt", lambda: secrets.token_hex(4)),
            "project": project,
            "entity": entity,
            "name": name or run_dir.resolve().name,
            "tags": list(tags or ()),
            "config": config_of(run_dir),
            # The terminal stays ours: wrapping it fights with the progress bars.
            "settings": {
                "init_timeout": init_timeout_s,
                "finish_timeout": finish_timeout_s,
                "console": "off",
            },
        }
        self._run = self._start(mode, arguments)
        self._run.define_metric("*", step_metric="step")

    def scalars(self, step: int, values: dict[str, float]) -> None:
        self._send(step, values)

    def image(self, step: int, name: str, rgb: np.ndarray) -> None:
        if self._run:
            self._send(step, {name: self._wandb.Image(rgb, caption=f"step {step}")})

    def audio(self, step: int, name: str, waveform: np.ndarray, sample_rate: int) -> None:
        if self._run:
            clip = self._wandb.Audio(waveform, sample_rate=sample_rate, caption=f"step {step}")
            self._send(step, {name: clip})

    def table(self, step: int, name: str, columns: list[str], rows: list[list]) -> None:
        if self._run:
            table = self._wandb.Table(columns=columns, data=rows, allow_mixed_types=True)
            self._send(step, {name: table})

    def text(self, step: int, name: str, text: str) -> None:
        if self._run:
            self._send(step, {name: self._wandb.Html(f"<pre>{html.escape(text)}</pre>")})

    def close(self) -> None:
        """Offline, W&B's helper process may write on for a moment, until this process ends."""
        if self._run:
            self._run.finish()
            self._run = None

    def _send(self, step: int, values: dict[str, Any]) -> None:
        if self._run:
            self._run.log({**values, "step": step})

    def _start(self, mode: str, arguments: dict[str, Any]) -> Any:
        if mode == "offline":
            return self._wandb.init(mode="offline", **arguments)
        try:
            return self._wandb.init(mode="online", resume="allow", **arguments)
        except Exception as error:  # whatever the network or the server came up with
            _log.warning(
                "Weights & Biases could not be reached (%s). Training goes on offline; upload "
                "later with `wandb sync %s`.",
                " ".join(str(error).split())[:200],
                arguments["dir"] / "wandb" / "offline-run-*",
            )
            self._wandb.teardown()  # its helper process holds on to the id of the failed start
            return self._wandb.init(mode="offline", **arguments)


def _import_wandb() -> Any:
    # Reports on W&B's own health: a server that hangs would hold the end of the run up by 20 s.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    try:
        import wandb
    except ImportError as error:
        raise UserError(
            "logger=wandb: Weights & Biases is not installed; run `pip install wandb` "
            "or choose logger=jsonl."
        ) from error
    return wandb


def _find_key(wandb: Any) -> None:
    """Make sure of a key without asking for one, and without asking the server about it."""
    try:
        # verify=True would stop the run here when the server can't be reached.
        found, why = wandb.login(prompt=False, verify=False), "no key was found"
    except Exception as error:
        found, why = False, " ".join(str(error).split())[:200]
    if not found:
        raise UserError(
            f"logger.mode=online: Weights & Biases can't log in ({why}); run `wandb login` once, "
            "set WANDB_API_KEY, or choose logger.mode=offline."
        )
