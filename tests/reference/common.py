"""What every part of the golden maker shares: where files go, random weights, how tensors are written."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

GOLDENS = Path(__file__).parent / "goldens"


def fresh(name):
    """An empty folder `goldens/<name>`."""
    folder = GOLDENS / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def seeded(model, seed):
    """Fills every parameter with seeded noise of a size that keeps activations near one.

    The libraries' own initialisations leave biases at zero and norms at one, which would hide a bias that is
    added twice or a norm weight that is never read; here no parameter is trivial.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim == 1:
                # A one-dimensional weight is a norm's: near one. A bias: near zero. Both are 1-d, so ask the old value.
                parameter.copy_(parameter.sign().abs().round() * 1.0 + 0.2 * noise)
            else:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
    return model.eval()


def normal(seed, *shape):
    """Seeded standard normal float32."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def write_case(folder, inputs, outputs):
    """`case.safetensors`: the tensors a test feeds (`input.*`) and those it must get back (`output.*`)."""
    tensors = {f"input.{key}": value for key, value in inputs.items()}
    tensors |= {f"output.{key}": value for key, value in outputs.items()}
    save_file({key: value.detach().contiguous() for key, value in tensors.items()}, folder / "case.safetensors")


def write_json(path, value):
    """JSON that a strict reader reads, stable from run to run."""
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
