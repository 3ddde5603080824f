"""What every part of the golden maker shares: where files go, random weights, how tensors are written."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

GOLDENS = Path(__file__).parent / "goldens"


def fresh(name):
    """An empty folder `goldens/<name>`."""
    folder = GOLDENS / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def normal(seed, *shape):
    """Seeded standard normal float32."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def seeded(model, seed, half=False):
    """Fills every parameter with seeded noise of a size that keeps activations near one.

    The libraries' own initialisations leave biases at zero and norms at one, which would hide a bias that is added twice
    or a norm weight that is never read; here no parameter is trivial. With `half`, values that float16 holds exactly.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1:
                value = noise / parameter[0].numel() ** 0.5
            else:
                value = 0.2 * noise + (1 if name.endswith("weight") else 0)
            parameter.copy_(value.half() if half else value)
    return model.eval()


def rename(folder, file, new_name, extra=None):
    """Renames the tensors of a saved checkpoint file; `extra` are tensors to add."""
    tensors = {new_name(name): tensor for name, tensor in load_file(folder / file).items()}
    save_file(tensors | (extra or {}), folder / file, metadata={"format": "pt"})


def to_half(folder, file):
    """Stores a checkpoint file as float16, as `save_pretrained` of a float16 model does."""
    tensors = {name: tensor.half() for name, tensor in load_file(folder / file).items()}
    save_file(tensors, folder / file, metadata={"format": "pt"})


def write_case(folder, inputs, outputs):
    """`case.safetensors`: the tensors a test feeds (`input.*`) and those it must get back (`output.*`)."""
    tensors = {f"input.{key}": value for key, value in inputs.items()}
    tensors |= {f"output.{key}": value for key, value in outputs.items()}
    save_file({key: value.detach().contiguous() for key, value in tensors.items()}, folder / "case.safetensors")


def write_json(path, value):
    """JSON that a strict reader reads, stable from run to run."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def write_lines(path, cases):
    """JSON of an object, one key a line: for long lists of numbers."""
    lines = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in cases.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
