"""A bundle's three stages as ONNX files, with the very weights of the bundle, for another runtime to run.

    python export.py BUNDLE OUT

The weights are read as models/README.md says, put into diffusers' and transformers' own networks, which must have a place for
each, and written by `torch.onnx.export`.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.numpy import load
from transformers import CLIPTextConfig, CLIPTextModel

OPSET = 20


def bundle(folder):
    """The manifest, and every weight in float32 by its name."""
    manifest = json.loads((folder / "bundle.json").read_text())
    stored = {}
    for shard in manifest["shards"]:
        for name, tensor in load((folder / shard["file"]).read_bytes()).items():
            stored.setdefault(name, []).append(tensor)
    stored = {name: np.concatenate(parts) for name, parts in stored.items()}
    weights = {}
    for name, entry in manifest["tensors"].items():
        shape, kind = entry["shape"], entry["dtype"]
        columns = int(np.prod(shape[1:])) if len(shape) > 1 else shape[0]
        if kind in ("f32", "f16"):
            value = stored[name].astype(np.float32)
        else:
            integers = stored[f"{name}.{kind}"]
            if kind == "q4":
                integers = np.stack([integers & 15, integers >> 4], -1).reshape(len(integers), -1)[:, :columns].astype(np.float32) - 8
            scales = np.repeat(stored[f"{name}.scale"].astype(np.float32), 32, axis=1)[:, :columns]
            value = integers.astype(np.float32) * scales
        weights[name] = torch.from_numpy(value.reshape(shape).copy())
    return manifest, weights


def filled(model, weights, component, rename=lambda name: name):
    """The model with a component's weights; none may be missing or left over."""
    own = {rename(name.removeprefix(component + ".")): value for name, value in weights.items() if name.startswith(component + ".")}
    model.load_state_dict({name: value.reshape(model.state_dict()[name].shape) for name, value in own.items()}, strict=True)
    return model.eval()


class Decoder(torch.nn.Module):
    def __init__(self, vae):
        super().__init__()
        self.vae = vae

    def forward(self, latents):
        return self.vae.decode(latents, return_dict=False)[0]


class UNet(torch.nn.Module):
    def __init__(self, unet):
        super().__init__()
        self.unet = unet

    def forward(self, sample, timestep, encoder_hidden_states):
        return self.unet(sample, timestep, encoder_hidden_states, return_dict=False)[0]


class Text(torch.nn.Module):
    def __init__(self, text):
        super().__init__()
        self.text = text

    def forward(self, input_ids):
        return self.text(input_ids).last_hidden_state


def main(folder, out):
    manifest, weights = bundle(folder)
    configs = manifest["components"]
    text, unet, vae = configs["text_encoder"], configs["unet"], configs["vae"]
    tokens, side = text["max_position_embeddings"], manifest["defaults"]["width"] >> (len(vae["block_out_channels"]) - 1)
    own = set(CLIPTextModel(CLIPTextConfig(**text)).state_dict())
    prefix = "text_model." if any(name.startswith("text_model.") for name in own) else ""
    # The layout of attention by hand: a fused operator would be taken apart by the exporter in its
    # own way.
    text = filled(CLIPTextModel._from_config(CLIPTextConfig(**text), attn_implementation="eager"), weights, "text_encoder", lambda name: prefix + name)
    unet = filled(UNet2DConditionModel.from_config(unet), weights, "unet")
    vae = filled(AutoencoderKL.from_config({**vae, "shift_factor": None}), weights, "vae")
    latents = torch.randn(1, vae.config.latent_channels, side, side)
    embeds = torch.randn(1, tokens, unet.config.cross_attention_dim)
    out.mkdir(parents=True, exist_ok=True)
    for name, model, inputs in (
        ("text_encoder", Text(text), {"input_ids": torch.arange(tokens)[None] % text.config.vocab_size}),
        ("unet", UNet(unet), {"sample": latents, "timestep": torch.tensor([500.0]), "encoder_hidden_states": embeds}),
        ("decoder", Decoder(vae), {"latents": latents}),
    ):
        with torch.no_grad():
            torch.onnx.export(
                model.eval(), tuple(inputs.values()), out / f"{name}.onnx", input_names=list(inputs), opset_version=OPSET, dynamo=True, external_data=False
            )
        print(out / f"{name}.onnx", (out / f"{name}.onnx").stat().st_size, "bytes")


if __name__ == "__main__":
    torch.manual_seed(0)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
