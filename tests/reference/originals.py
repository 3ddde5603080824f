"""The checkpoints of `pipelines.py` once more, as one file each in the layout in which Stable Diffusion 1 and 2 were published.

The names are made here from the structure of CompVis/stable-diffusion and Stability-AI/stablediffusion; that they are right is
for diffusers' own converter to say (`diffusers/loaders/single_file_utils.py`), which must give every tensor back.
"""

import collections
import json
import os

import numpy
import torch
from diffusers.loaders import single_file_utils as diffusers
from safetensors.torch import load_file, save_file

from common import GOLDENS, fresh, normal

RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
UNET = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0", "conv_out": "out.2", "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1", "mid_block.resnets.1": "middle_block.2",
}  # fmt: skip
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj", "self_attn.out_proj": "attn.out_proj",
}  # fmt: skip


def weights(folder, component):
    files = sorted((folder / component).glob("*.safetensors"))
    return {key: value for file in files for key, value in load_file(file).items()}


def config(folder, component):
    return json.loads((folder / component / "config.json").read_text())


def unet(tensors, config):
    """`input_blocks` and `output_blocks` are counted through: a level's resnets with their attentions, then its resampler."""
    levels, layers = len(config["block_out_channels"]), config["layers_per_block"]
    modules = dict(UNET)
    for level in range(levels):
        for i in range(layers):
            n = 1 + level * (layers + 1) + i
            modules[f"down_blocks.{level}.resnets.{i}"] = f"input_blocks.{n}.0"
            modules[f"down_blocks.{level}.attentions.{i}"] = f"input_blocks.{n}.1"
        modules[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{(level + 1) * (layers + 1)}.0.op"
        for i in range(layers + 1):
            n = level * (layers + 1) + i
            modules[f"up_blocks.{level}.resnets.{i}"] = f"output_blocks.{n}.0"
            modules[f"up_blocks.{level}.attentions.{i}"] = f"output_blocks.{n}.1"
        attends = "CrossAttn" in config["up_block_types"][level]
        modules[f"up_blocks.{level}.upsamplers.0.conv"] = f"output_blocks.{n}.{2 if attends else 1}.conv"
    named = {}
    for key, value in tensors.items():
        module = max((m for m in modules if key.startswith(m + ".")), key=len)
        rest = key[len(module) + 1 :]
        if ".resnets." in module:
            part, parameter = rest.rsplit(".", 1)
            rest = f"{RESNET[part]}.{parameter}"
        named[f"model.diffusion_model.{modules[module]}.{rest}"] = value
    return named


def vae(tensors, config):
    """Levels of the decoder are counted from the outermost in, and attention is made of 1x1 convolutions."""
    levels = len(config["block_out_channels"])
    named = {}
    for key, value in tensors.items():
        if ".attentions.0." in key:
            side, rest = key.split(".mid_block.attentions.0.")
            part, parameter = rest.rsplit(".", 1)
            if parameter == "weight" and part != "group_norm":
                value = value[:, :, None, None].contiguous()
            key = f"{side}.mid.attn_1.{VAE_ATTENTION[part]}.{parameter}"
        parts = key.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out").split(".")
        if "mid_block" in parts:
            parts[1:4] = ["mid", f"block_{int(parts[3]) + 1}"]
        elif parts[1] in ("down_blocks", "up_blocks"):
            down = parts[1] == "down_blocks"
            level = int(parts[2]) if down else levels - 1 - int(parts[2])
            inner = {"resnets": ["block", parts[4]], "downsamplers": ["downsample"], "upsamplers": ["upsample"]}[parts[3]]
            parts[1:5] = ["down" if down else "up", str(level), *inner]
        named["first_stage_model." + ".".join(parts)] = value
    return named


def clip(tensors):
    return {f"cond_stage_model.transformer.{key}": value for key, value in tensors.items()}


def open_clip(tensors, config):
    """Queries, keys and values are one matrix; a last layer follows that SD 2 does not use, and CLIP's own projection."""
    prefix = "cond_stage_model.model."
    named = {}
    for key, value in tensors.items():
        key = key.removeprefix("text_model.")
        if key.startswith("encoder.layers."):
            layer, rest = key.removeprefix("encoder.layers.").split(".", 1)
            part, parameter = rest.rsplit(".", 1)
            if part in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"):
                if part.endswith("q_proj"):
                    all_three = [tensors[next(k for k in tensors if k.endswith(f"layers.{layer}.self_attn.{p}_proj.{parameter}"))] for p in "qkv"]
                    named[f"{prefix}transformer.resblocks.{layer}.attn.in_proj_{parameter}"] = torch.cat(all_three)
            else:
                named[f"{prefix}transformer.resblocks.{layer}.{OPEN_CLIP[part]}.{parameter}"] = value
        else:
            module = {"embeddings.token_embedding": "token_embedding", "final_layer_norm": "ln_final"}
            part, parameter = key.rsplit(".", 1)
            named[prefix + (f"{module[part]}.{parameter}" if part in module else "positional_embedding")] = value
    width, last = config["hidden_size"], config["num_hidden_layers"]
    for key in [key for key in named if ".resblocks.0." in key]:
        named[key.replace(".resblocks.0.", f".resblocks.{last}.")] = normal(51, *named[key].shape)
    return named | {prefix + "text_projection": normal(52, width, width), prefix + "logit_scale": torch.tensor(4.6)}


def check(original, folder, family):
    """diffusers' converter gives the checkpoint back."""
    def same(converted, component):
        expected = weights(folder, component)
        converted = {key.removeprefix("text_model."): value for key, value in converted.items()}
        for key, value in expected.items():
            key = key.removeprefix("text_model.")
            deprecated = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
            for old, new in deprecated.items():
                key = key.replace(old, new) if component == "vae" else key
            assert key == "embeddings.position_ids" or torch.equal(converted[key], value), key

    same(diffusers.convert_ldm_unet_checkpoint(original, config(folder, "unet")), "unet")
    same(diffusers.convert_ldm_vae_checkpoint(original, config(folder, "vae")), "vae")
    if family == 1:
        same(diffusers.convert_ldm_clip_checkpoint(original), "text_encoder")
    else:
        same(diffusers.convert_open_clip_checkpoint(None, original), "text_encoder")


class Malicious:
    """Runs a command in whoever unpickles it."""

    def __reduce__(self):
        return os.system, ("touch it-was-run",)


def pickled(original, folder):
    """The same file as training programs write it, with other state beside the weights, and one that is an attack."""
    state = {"epoch": 3, "global_step": 7, "loss": numpy.float64(0.5), "lr": 1e-5, "hyper_parameters": collections.OrderedDict(seed=2**64)}
    torch.save(state | {"state_dict": original}, folder / "model.ckpt")
    torch.save({"state_dict": {"a": torch.zeros(2)}, "callbacks": Malicious()}, folder / "malicious.ckpt")


def make():
    for family in (1, 2):
        folder = GOLDENS / f"pipeline_sd{family}"
        text = weights(folder, "text_encoder")
        original = unet(weights(folder, "unet"), config(folder, "unet")) | vae(weights(folder, "vae"), config(folder, "vae"))
        original |= clip(text) if family == 1 else open_clip(text, config(folder, "text_encoder"))
        # What training leaves beside the weights.
        original |= {"alphas_cumprod": normal(53, 1000), "model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(7)}
        check(original, folder, family)
        save_file(original, fresh(f"original_sd{family}") / "model.safetensors", metadata={"format": "pt"})
        if family == 1:
            pickled(original, GOLDENS / "original_sd1")
