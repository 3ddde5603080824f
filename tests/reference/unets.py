"""U-Nets: diffusers' `UNet2DConditionModel`."""

import torch
from diffusers import UNet2DConditionModel

from common import fresh, normal, seeded, to_half, write_case

WEIGHTS = "diffusion_pytorch_model.safetensors"

# As Stable Diffusion 1: 1x1 convolutions around the transformers, one number of heads (the key
# `attention_head_dim` means that) for all levels, and the innermost level without attention.
SD1 = {
    "block_out_channels": (16, 32), "layers_per_block": 2, "norm_num_groups": 8, "cross_attention_dim": 32,
    "attention_head_dim": 4, "sample_size": 8,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
}  # fmt: skip
# As Stable Diffusion 2: linear layers around the transformers, heads for each level, deeper; every
# level with attention, and two transformer layers in one, as SDXL has them.
SD2 = {
    "block_out_channels": (16, 32, 32), "layers_per_block": 1, "norm_num_groups": 4, "cross_attention_dim": 40,
    "attention_head_dim": [2, 4, 8], "use_linear_projection": True, "transformer_layers_per_block": [1, 2, 1],
    "sample_size": 8, "down_block_types": ("CrossAttnDownBlock2D",) * 3, "up_block_types": ("CrossAttnUpBlock2D",) * 3,
}  # fmt: skip
# The outermost level without attention, levels of different depth and width, channels that differ
# in and out, the sine first, and (see `make`) a sample of odd size.
PLAIN = {
    "block_out_channels": (16, 12, 20), "layers_per_block": (1, 2, 1), "norm_num_groups": 4, "cross_attention_dim": 24,
    "attention_head_dim": [4, 3, 5], "in_channels": 3, "out_channels": 5, "flip_sin_to_cos": False, "freq_shift": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), "norm_eps": 1e-6,
}  # fmt: skip
# The shape of the published 256-pixel model of this project, narrower: the text as a whole is added
# to the time embedding.
TEXT = {
    "block_out_channels": (8, 12, 16), "layers_per_block": 1, "norm_num_groups": 4, "cross_attention_dim": 24,
    "attention_head_dim": 4, "addition_embed_type": "text", "addition_embed_type_num_heads": 3,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
}  # fmt: skip


def run(model, seed, height, width, tokens):
    config = model.config
    inputs = {
        "sample": normal(seed, 2, config.in_channels, height, width),
        "timestep": torch.tensor([981.0, 13.0]),
        "encoder_hidden_states": normal(seed + 1, 2, tokens, config.cross_attention_dim),
    }
    with torch.no_grad():
        return inputs, {"sample": model(**inputs).sample}


def make():
    for name, config, seed, size in (
        ("unet_sd1", SD1, 21, (8, 8, 77)),
        ("unet_sd2", SD2, 22, (8, 12, 9)),
        ("unet_plain", PLAIN, 23, (9, 7, 5)),
        ("unet_text", TEXT, 24, (8, 4, 11)),
    ):
        folder = fresh(name)
        half = config in (SD2, TEXT)
        model = seeded(UNet2DConditionModel(**config), seed, half)
        if config is PLAIN:
            # Several files and an index, as large checkpoints come.
            model.save_pretrained(folder, max_shard_size="200KB")
        else:
            model.save_pretrained(folder)
        if half:
            to_half(folder, WEIGHTS)
        # The outputs are those of the files, so that a golden cannot be about other weights.
        model = UNet2DConditionModel.from_pretrained(folder).eval().float()
        write_case(folder, *run(model, seed, *size))
