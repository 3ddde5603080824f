"""Autoencoders: diffusers' `AutoencoderKL` and `AutoencoderDC`, both ways, and what lies between them and the U-Net."""

import torch
from diffusers import AutoencoderDC, AutoencoderKL, AutoencoderTiny
from diffusers.pipelines.ltx.pipeline_ltx import LTXPipeline
from torch.nn.functional import interpolate

from common import fresh, normal, rename, seeded, to_half, write_case

WEIGHTS = "diffusion_pytorch_model.safetensors"

# As Stable Diffusion's: attention in the middle, convolutions around the latents. Three levels, so
# latents of a quarter.
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

# Mean and deviation of each latent channel, in the class of Stable Diffusion's autoencoders.
WHITENED = {
    "in_channels": 1, "out_channels": 1, "block_out_channels": (8, 8), "layers_per_block": 1, "norm_num_groups": 2,
    "latent_channels": 3, "down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2,
    "sample_size": 16, "scaling_factor": 0.8, "latents_mean": (0.3, -1.5, 0.0), "latents_std": (0.7, 4.0, 1.9),
}  # fmt: skip
# The shape of the published 256-pixel model of this project, narrower: no blocks at the first
# level, all shuffles and shortcuts.
DC = {
    "in_channels": 1, "latent_channels": 4, "encoder_block_out_channels": (4, 8, 16, 16, 32),
    "decoder_block_out_channels": (4, 8, 16, 16, 32), "encoder_layers_per_block": (0, 1, 1, 1, 1),
    "decoder_layers_per_block": (0, 1, 2, 2, 3), "scaling_factor": 0.9,
}  # fmt: skip
# Keys that diffusers' class does not know, and keeps.
DC_EXTRA = {"latents_mean": [0.3, -1.5, 0.0, 0.2], "latents_std": [0.7, 4.0, 1.9, 1.0]}
# Strided convolutions and interpolation, a level without blocks at the end, blocks at the first,
# groups of three channels, widths that differ between the halves, an activation for each level, one
# shortcut left out.
DC_CONV = {
    "in_channels": 3, "latent_channels": 4, "encoder_block_out_channels": (12, 16, 32), "decoder_block_out_channels": (8, 16, 16),
    "encoder_layers_per_block": (1, 3, 0), "decoder_layers_per_block": (3, 1, 0), "encoder_out_shortcut": True,
    "decoder_in_shortcut": False, "downsample_block_type": "conv", "upsample_block_type": "interpolate",
    "decoder_act_fns": ("relu", "gelu", "silu"), "decoder_norm_types": ("rms_norm",) * 3, "decoder_conv_act_fn": "silu",
}  # fmt: skip

# Channels and levels of `pipeline_sd1`'s autoencoder, so that it decodes that pipeline's latents.
TINY = {
    "encoder_block_out_channels": (8, 8, 8), "decoder_block_out_channels": (8, 8, 8), "num_encoder_blocks": (1, 2, 1),
    "num_decoder_blocks": (2, 1, 1), "latent_channels": 4, "scaling_factor": 0.7,
}  # fmt: skip

# The names which the attention of the autoencoders of Stable Diffusion 1 and 2 has in their files;
# diffusers renames on loading.
OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def old_name(name):
    if "attentions" in name:
        for new, old in OLD_NAMES.items():
            name = name.replace(f".{new}.", f".{old}.")
    return name


def whitening(config):
    """Mean and deviation of each channel, `None` where the config names none."""
    if config.get("latents_mean") is None:
        return None
    return torch.tensor(config.latents_mean), torch.tensor(config.latents_std)


def scale(config, latents):
    """Latents as diffusion sees them."""
    if whitening(config) is None:
        return (latents - (config.get("shift_factor") or 0)) * config.scaling_factor
    return LTXPipeline._normalize_latents(latents[:, :, None], *whitening(config), config.scaling_factor)[:, :, 0]


def unscale(config, latents):
    """The inverse of `scale`."""
    if whitening(config) is None:
        return latents / config.scaling_factor + (config.get("shift_factor") or 0)
    return LTXPipeline._denormalize_latents(latents[:, :, None], *whitening(config), config.scaling_factor)[:, :, 0]


def resized(image, height, width):
    return interpolate(image, (height, width), mode="bicubic", antialias=True)


def shown(config, image):
    """What an encoder sees: `encoder_sample_size` of `sample_size` pixels, at the size of the image."""
    if config.get("encoder_sample_size") is None:
        return image
    height, width = image.shape[2:]
    reduced = (n * config.encoder_sample_size // config.sample_size for n in (height, width))
    return resized(resized(image, *reduced), height, width)


def encode(model, image):
    """Latents, before scaling."""
    encoded = model.encode(image)
    if isinstance(model, AutoencoderTiny):
        return encoded.latents
    return encoded.latent if isinstance(model, AutoencoderDC) else encoded.latent_dist.mode()


def run(model, seed, height, width):
    config = model.config
    image = normal(seed, 2, config.in_channels, height, width).clamp(-1, 1)
    levels = config.encoder_block_out_channels if isinstance(model, AutoencoderDC) else config.block_out_channels
    factor = 2 ** (len(levels) - 1)
    latents = normal(seed + 1, 2, config.latent_channels, height // factor, width // factor)
    with torch.no_grad():
        mean = encode(model, image)
        outputs = {"mean": mean, "image": model.decode(latents).sample}
        if isinstance(model, AutoencoderKL):
            outputs["logvar"] = model.encode(image).latent_dist.logvar
    outputs |= {"scaled": scale(config, mean), "unscaled": unscale(config, latents)}
    return {"image": image, "latents": latents}, outputs


def make():
    for name, kind, config, seed, size, half in (
        ("vae_sd", AutoencoderKL, SD, 31, (16, 24), False),
        ("vae_grey", AutoencoderKL, GREY, 32, (16, 16), True),
        ("vae_whitened", AutoencoderKL, WHITENED, 33, (8, 12), True),
        ("vae_dc", AutoencoderDC, DC, 34, (32, 48), True),
        ("vae_dc_conv", AutoencoderDC, DC_CONV, 35, (12, 20), True),
        ("vae_tiny", AutoencoderTiny, TINY, 36, (16, 24), True),
    ):
        folder = fresh(name)
        model = seeded(kind(**config), seed, half)
        if config is DC:
            model.register_to_config(**DC_EXTRA)
        model.save_pretrained(folder)
        model = kind.from_pretrained(folder).eval()
        inputs, outputs = run(model, seed, *size)
        if half:
            to_half(folder, WEIGHTS)
        else:
            rename(folder, WEIGHTS, old_name)
        # The outputs are those of the files, so that a golden cannot be about other weights.
        again = run(kind.from_pretrained(folder).eval().float(), seed, *size)[1]
        assert all(torch.allclose(again[key], outputs[key], atol=1e-5) for key in outputs), name
        write_case(folder, inputs, outputs)
    resizes()


def resizes():
    """PyTorch's antialiased bicubic resizing: to half and back, and between sizes that share no factor."""
    image = normal(36, 1, 2, 24, 36).clamp(-1, 1)
    half = resized(image, 12, 18)
    outputs = {"half": half, "back": resized(half, 24, 36), "odd": resized(image, 7, 41)}
    write_case(fresh("resize"), {"image": image}, outputs)
