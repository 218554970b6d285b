"""What the files in configs/transform and configs/augment build, without the build itself."""

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from src import transforms

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
TRANSFORMS = sorted(p.stem for p in (CONFIGS / "transform").glob("*.yaml"))
AUGMENTS = sorted(p.stem for p in (CONFIGS / "augment").glob("*.yaml"))


def read_config(group: str, name: str) -> dict[str, Any]:
    """The keys of one choice."""
    return OmegaConf.to_container(OmegaConf.load(CONFIGS / group / f"{name}.yaml"))


def instantiate(node: dict[str, Any]) -> Any:
    """Call the targets of a config node, inner ones first."""
    keys = {k: instantiate(v) if isinstance(v, dict) else v for k, v in node.items()}
    room, name = keys.pop("_target_").rsplit(".", 1)
    assert room == "src.transforms"
    assert name in transforms.__all__
    return getattr(transforms, name)(**keys)


def augmentation(name: str) -> tuple[transforms.WaveformSteps, Any]:
    """What configs/augment/NAME.yaml does to waveforms at 16 kHz, and to logmel80's features."""
    made = instantiate(read_config("augment", name))
    for part in made.modules():
        if isinstance(part, transforms.FrequencyWarp):
            part.prepare(front_end("logmel80"))
    if not isinstance(made, transforms.Augmentation):
        return transforms.WaveformSteps(), made
    made.waveform.prepare(16_000)
    return made.waveform, made.features


def front_end(name: str) -> transforms.FrontEnd:
    """The front end of configs/transform/NAME.yaml; stored statistics are made up."""
    made = instantiate(read_config("transform", name))
    if isinstance(made.normalise, transforms.StoredNormalisation):
        made.normalise.mean.fill_(-7.0)
        made.normalise.std.fill_(3.0)
    return made
