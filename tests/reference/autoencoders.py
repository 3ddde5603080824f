"""Autoencoders: diffusers' `AutoencoderKL`, both ways."""

import torch
from diffusers import AutoencoderKL

from common import fresh, normal, rename, seeded, to_half, write_case

WEIGHTS = "diffusion_pytorch_model.safetensors"

# As Stable Diffusion's: attention in the middle, convolutions around the latents. Three levels, so latents of a quarter.
SD = {
    "block_out_channels": (8, 8, 16), "layers_per_block": 1, "norm_num_groups": 4, "latent_channels": 4,
    "down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3, "sample_size": 16,
}  # fmt: skip
# Grey images, no attention, no convolutions around the latents, deeper levels, two of them.
GREY = {
    "in_channels": 1, "out_channels": 1, "block_out_channels": (8, 24), "layers_per_block": 2, "norm_num_groups": 4,
    "latent_channels": 3, "mid_block_add_attention": False, "use_quant_conv": False, "use_post_quant_conv": False,
    "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2, "sample_size": 16,
    "scaling_factor": 0.5, "shift_factor": 0.1,
}  # fmt: skip

# The names which the attention of the autoencoders of Stable Diffusion 1 and 2 has in their files; diffusers renames on loading.
OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def old_name(name):
    if "attentions" in name:
        for new, old in OLD_NAMES.items():
            name = name.replace(f".{new}.", f".{old}.")
    return name


def run(model, seed, height, width):
    config = model.config
    image = normal(seed, 2, config.in_channels, height, width).clamp(-1, 1)
    factor = 2 ** (len(config.block_out_channels) - 1)
    latents = normal(seed + 1, 2, config.latent_channels, height // factor, width // factor)
    with torch.no_grad():
        posterior = model.encode(image).latent_dist
        outputs = {"mean": posterior.mean, "logvar": posterior.logvar, "image": model.decode(latents).sample}
    return {"image": image, "latents": latents}, outputs


def make():
    for name, config, seed, size in (("vae_sd", SD, 31, (16, 24)), ("vae_grey", GREY, 32, (16, 16))):
        folder = fresh(name)
        half = config is GREY
        seeded(AutoencoderKL(**config), seed, half).save_pretrained(folder)
        model = AutoencoderKL.from_pretrained(folder).eval()
        inputs, outputs = run(model, seed, *size)
        if half:
            to_half(folder, WEIGHTS)
        else:
            rename(folder, WEIGHTS, old_name)
        # The outputs are those of the files, so that a golden cannot be about other weights.
        again = run(AutoencoderKL.from_pretrained(folder).eval().float(), seed, *size)[1]
        assert all(torch.allclose(again[key], outputs[key], atol=1e-5) for key in outputs), name
        write_case(folder, inputs, outputs)
