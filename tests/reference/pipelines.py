"""Whole runs of diffusers' `StableDiffusionPipeline` with given latents, and its folder as a checkpoint."""

import json

import torch
from diffusers import AutoencoderDC, AutoencoderKL, DDIMScheduler, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel

import autoencoders
import text_encoders
import tokenizers_
from common import fresh, normal, rename, seeded, to_half, write_case, write_json
from text_encoders import position_ids, published_name

REQUEST = {
    "prompt": "PA chest radiograph of a 60-year-old man. Large left pleural effusion.",
    "negative_prompt": "normal, no acute finding",
    "num_inference_steps": 5,
    "guidance_scale": 4.0,
    "height": 32,
    "width": 48,
}
# The next model's kinds: `AutoencoderDC` with whitened latents, an encoder that sees half of the
# resolution, the text as a whole in the time embedding, zero terminal SNR.
DC = {
    "in_channels": 3, "latent_channels": 4, "encoder_block_out_channels": (4, 8, 16), "decoder_block_out_channels": (4, 8, 16),
    "encoder_layers_per_block": (0, 1, 1), "decoder_layers_per_block": (0, 1, 2), "scaling_factor": 0.9,
}  # fmt: skip
# The last of these keys is one that StableDiffusionPipeline counts levels by.
DC_EXTRA = autoencoders.DC_EXTRA | {"sample_size": 32, "encoder_sample_size": 16, "block_out_channels": (4, 8, 16)}
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def components(family, half):
    """Small models of the Stable Diffusion 1 or 2 family; 3 stands for this project's own."""
    tokenizer = tokenizers_.tokenizer(tokenizers_.EOS if family == 1 else "!")
    vocab = {"vocab_size": len(tokenizer), "bos_token_id": len(tokenizer) - 2, "eos_token_id": len(tokenizer) - 1}
    common = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4} | vocab
    unet = {
        "block_out_channels": (16, 24), "layers_per_block": 1, "norm_num_groups": 8, "cross_attention_dim": 24, "sample_size": 8,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    }  # fmt: skip
    if family == 1:
        text = text_encoders.config(hidden_act="quick_gelu", **common)
        unet |= {"attention_head_dim": 4}
        scheduler = PNDMScheduler(**BETAS, skip_prk_steps=True)
    elif family == 3:
        text = text_encoders.config(hidden_act="quick_gelu", **common)
        unet |= {"attention_head_dim": 4, "addition_embed_type": "text", "addition_embed_type_num_heads": 4}
        scheduler = DDIMScheduler(
            **BETAS, clip_sample=False, prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"
        )
    else:
        text = text_encoders.config(hidden_act="gelu", **common)
        unet |= {"attention_head_dim": [2, 4], "use_linear_projection": True}
        scheduler = DDIMScheduler(**BETAS, clip_sample=False, prediction_type="v_prediction", set_alpha_to_one=False)
    if family == 3:
        vae = seeded(AutoencoderDC(**DC), 43, half)
        vae.register_to_config(**DC_EXTRA)
    else:
        vae = seeded(AutoencoderKL(**autoencoders.SD), 43, half)
    return {
        "tokenizer": tokenizer,
        "text_encoder": seeded(CLIPTextModel(text), 41, half),
        "unet": seeded(UNet2DConditionModel(**unet), 42, half),
        "vae": vae,
        "scheduler": scheduler,
        "safety_checker": None,
        "feature_extractor": None,
        "image_encoder": None,
        "requires_safety_checker": False,
    }


def run(pipeline):
    """What the command line's `--dump` holds: prompt embeddings, final latents, image in [-1, 1]."""
    pipeline.set_progress_bar_config(disable=True)
    latents = normal(44, 1, 4, REQUEST["height"] // 4, REQUEST["width"] // 4)
    prompt_embeds, negative = pipeline.encode_prompt(
        REQUEST["prompt"], "cpu", 1, True, negative_prompt=REQUEST["negative_prompt"]
    )
    with torch.no_grad():
        final = pipeline(**REQUEST, latents=latents, output_type="latent").images
        image = pipeline.vae.decode(autoencoders.unscale(pipeline.vae.config, final)).sample.clamp(-1, 1)
        if isinstance(pipeline.vae, AutoencoderKL):
            # 0 to 1, cut off there
            assert torch.allclose(image, pipeline(**REQUEST, latents=latents, output_type="pt").images * 2 - 1, atol=1e-5)
    outputs = {"prompt_embeds": prompt_embeds, "negative_prompt_embeds": negative, "latents": final, "image": image}
    return {"latents": latents}, outputs


def make():
    # Stable Diffusion 1 in the files and names of published checkpoints, as float16.
    folder = fresh("pipeline_sd1")
    pipeline = StableDiffusionPipeline(**components(1, half=True))
    pipeline.save_pretrained(folder)
    for part, file in (
        ("text_encoder", "model.safetensors"),
        ("unet", "diffusion_pytorch_model.safetensors"),
        ("vae", "diffusion_pytorch_model.safetensors"),
    ):
        to_half(folder / part, file)
    rename(folder / "text_encoder", "model.safetensors", published_name, position_ids())
    for file in (folder / "tokenizer").iterdir():
        file.unlink()
    tokenizers_.save_published(folder / "tokenizer", tokenizers_.EOS)
    finish(folder)
    # Stable Diffusion 2 as diffusers and transformers save today, the U-Net in several files.
    folder = fresh("pipeline_sd2")
    pipeline = StableDiffusionPipeline(**components(2, half=False))
    pipeline.save_pretrained(folder, max_shard_size="150KB")
    finish(folder)
    folder = fresh("pipeline_dc")
    pipeline = StableDiffusionPipeline(**components(3, half=True))
    pipeline.save_pretrained(folder)
    for part in ("unet", "vae"):
        to_half(folder / part, "diffusion_pytorch_model.safetensors")
    to_half(folder / "text_encoder", "model.safetensors")
    finish(folder)


def finish(folder):
    # The outputs are those of the files, so that a golden cannot be about other weights.
    pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    write_case(folder, *run(pipeline))
    write_json(folder / "request.json", REQUEST)
    index = json.loads((folder / "model_index.json").read_text())
    assert index["unet"] == ["diffusers", "UNet2DConditionModel"]
