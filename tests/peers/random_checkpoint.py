"""Stable Diffusion at full size with random weights, one file in the original layout: something to import without a download.

    python random_checkpoint.py 1|2 OUT.safetensors

The configs are those of runwayml/stable-diffusion-v1-5 and stabilityai/stable-diffusion-2-1-base. Float16, as published files
are; two of them are compared with diffusers' own converter in `tests/reference/originals.py`, whose names these are.
"""

import sys
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

sys.path.insert(0, str(Path(__file__).parent.parent / "reference"))
import originals  # noqa: E402

UNET = {
    "sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8, "block_out_channels": (320, 640, 1280, 1280),
}  # fmt: skip
VAE = {
    "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4, "sample_size": 512,
    "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
}  # fmt: skip
TEXT = {
    1: {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12, "hidden_act": "quick_gelu"},
    2: {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "num_attention_heads": 16, "hidden_act": "gelu"},
}


def random(model, name):
    """Half-precision noise with activations near one, one tensor at a time."""
    tensors = {}
    for i, (key, parameter) in enumerate(model.state_dict().items()):
        if key.endswith("position_ids"):
            continue
        noise = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i))
        if parameter.ndim > 1:
            value = noise / parameter[0].numel() ** 0.5
        else:
            value = 0.1 * noise + (1 if key.endswith("weight") else 0)
        tensors[key] = value.half()
    print(name, sum(t.numel() for t in tensors.values()), "parameters")
    return tensors


def main(family, out):
    unet = dict(UNET)
    if family == 2:
        unet |= {"cross_attention_dim": 1024, "attention_head_dim": (5, 10, 20, 20), "use_linear_projection": True}
    with torch.device("meta"):
        networks = UNet2DConditionModel(**unet), AutoencoderKL(**VAE), CLIPTextModel(CLIPTextConfig(vocab_size=49408, **TEXT[family]))
    unet, vae, text = (random(network, name) for network, name in zip(networks, ("unet", "vae", "text_encoder")))
    text = {"text_model." + key.removeprefix("text_model."): value for key, value in text.items()}
    original = originals.unet(unet, networks[0].config) | originals.vae(vae, networks[1].config)
    original |= originals.clip(text) if family == 1 else originals.open_clip(text, TEXT[2])
    save_file(original, out, metadata={"format": "pt"})


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
