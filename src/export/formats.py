"""A graph as a file, and the file as something that reads speech.

Every file carries what its reader must know (`describe`): ONNX as metadata properties, PyTorch's
formats as an extra file, speech.json.
"""

import importlib
import io
import json
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim

from src.batch import Emissions
from src.export.graph import Graph, Reshaping
from src.export.quantised import quantise
from src.export.recurrences import AsSingleNodes, as_pytorchs_own
from src.recognizer import Recognizer
from src.utils.errors import UserError

OPSET = 18  # of ONNX: what onnxruntime reads since 2023
EXTRA = "speech.json"
Run = Callable[[Tensor, Tensor], Emissions]  # waveforms (B, N) and lengths (B,)


def describe(recognizer: Recognizer, text: Any) -> dict[str, Any]:
    """What the reader of an exported file must know, in plain values."""
    return {
        "sample_rate": recognizer.sample_rate,  # Hz
        "frame_s": recognizer.frame_s,  # seconds from one emitted frame to the next
        "blank": 0,  # index of CTC's blank
        "unit": text.unit,  # what the symbols are: character or phoneme
        "symbols": list(text.vocabulary.symbols),
    }


def to_bytes(recognizer: Recognizer, form: str, facts: Mapping[str, Any]) -> bytes:
    """The content of an exported file.

    Args:
        form: a key of FORMATS.
        facts: of `describe`, and whatever else a reader may want.

    Raises:
        UserError: a package that the format needs is not installed.
    """
    with torch.no_grad(), warnings.catch_warnings():
        # Of deprecation, and of sizes taken for constants: the check on other sizes would tell.
        warnings.simplefilter("ignore")
        return FORMATS[form][0](recognizer, dict(facts))


def load(path: str | Path, form: str) -> tuple[Run, dict[str, Any]]:
    """What reads speech with an exported file, and the facts that it carries."""
    return FORMATS[form][1](Path(path))


def _trace(graph: torch.nn.Module, example: tuple[Tensor, Tensor]) -> torch.jit.ScriptModule:
    # Its own check compares on the very example that was followed, which shows nothing.
    return torch.jit.trace(graph, example, check_trace=False)


def _to_torchscript(recognizer: Recognizer, facts: dict[str, Any]) -> bytes:
    graph = Graph(recognizer)
    return _saved(_trace(graph, graph.example), facts)


def _to_int8(recognizer: Recognizer, facts: dict[str, Any]) -> bytes:
    graph = Graph(recognizer)
    return _saved(_trace(quantise(graph), graph.example), facts)


def _saved(traced: torch.jit.ScriptModule, facts: dict[str, Any]) -> bytes:
    content = io.BytesIO()
    torch.jit.save(traced, content, _extra_files={EXTRA: json.dumps(facts)})
    return content.getvalue()


def _from_torchscript(path: Path) -> tuple[Run, dict[str, Any]]:
    extra = {EXTRA: ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of deprecation
        model = torch.jit.load(path, "cpu", _extra_files=extra)
    return _running(model), json.loads(extra[EXTRA])


def _to_torch_export(recognizer: Recognizer, facts: dict[str, Any]) -> bytes:
    graph = Graph(recognizer)
    shapes = ({0: Dim.DYNAMIC, 1: Dim.DYNAMIC}, {0: Dim.DYNAMIC})
    with AsSingleNodes():
        program = torch.export.export(graph, graph.example, dynamic_shapes=shapes, strict=False)
    content = io.BytesIO()
    extra = {EXTRA: json.dumps(facts)}
    torch.export.save(as_pytorchs_own(program), content, extra_files=extra)
    return content.getvalue()


def _from_torch_export(path: Path) -> tuple[Run, dict[str, Any]]:
    extra = {EXTRA: ""}
    with path.open("rb") as file:
        program = torch.export.load(io.BytesIO(file.read()), extra_files=extra)
    return _running(program.module()), json.loads(extra[EXTRA])


def _running(model: Callable) -> Run:
    @torch.no_grad()
    def run(waveforms: Tensor, lengths: Tensor) -> Emissions:
        return Emissions(*model(waveforms, lengths))

    return run


def _to_onnx(recognizer: Recognizer, facts: dict[str, Any]) -> bytes:
    onnx = _needed("onnx")
    graph = Graph(recognizer, fft=False)
    batch, names = {0: "B"}, {"input_names": ["waveforms", "lengths"]}
    names["output_names"] = ["log_probs", "output_lengths"]
    axes = {"waveforms": {**batch, 1: "N"}, "log_probs": {**batch, 1: "T_out"}}
    axes |= {"lengths": batch, "output_lengths": batch}
    with tempfile.TemporaryDirectory() as folder, Reshaping():
        path = Path(folder, "graph.onnx")
        # Not the newer exporter: it knows no recurrent layer of open length.
        torch.onnx.export(
            graph,
            graph.example,
            path,
            dynamo=False,
            opset_version=OPSET,
            dynamic_axes=axes,
            **names,
        )
        model = onnx.load(path)
    values = {k: v if isinstance(v, str) else json.dumps(v) for k, v in facts.items()}
    onnx.helper.set_model_props(model, values)
    return model.SerializeToString()


def _from_onnx(path: Path) -> tuple[Run, dict[str, Any]]:
    onnxruntime = _needed("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(waveforms: Tensor, lengths: Tensor) -> Emissions:
        inputs = {"waveforms": waveforms.numpy(), "lengths": lengths.numpy()}
        return Emissions(*map(torch.from_numpy, session.run(None, inputs)))

    properties = session.get_modelmeta().custom_metadata_map
    return run, {key: _read(value) for key, value in properties.items()}


def _read(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _needed(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise UserError(
            f"format onnx needs the package {package}, which is not installed; "
            "pip install -r requirements-extra.txt"
        ) from error


FORMATS: dict[str, tuple[Callable, Callable]] = {  # how to write, how to read
    "torchscript": (_to_torchscript, _from_torchscript),
    "torch_export": (_to_torch_export, _from_torch_export),
    "onnx": (_to_onnx, _from_onnx),
    "int8": (_to_int8, _from_torchscript),
}
