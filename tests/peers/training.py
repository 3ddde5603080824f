"""Images a second of whole optimizer steps in PyTorch and diffusers: what `cargo bench -p train --bench step` measures.

    python tests/peers/training.py tests/peers/training.json [NAME,..] [SECONDS] [bf16]
"""

import json
import statistics
import sys
import time

import torch
from diffusers import AutoencoderDC, AutoencoderKL, UNet2DConditionModel

TOKENS = 77


def denoiser(case):
    config = dict(case["unet"])
    unet = UNet2DConditionModel.from_config(config)
    n, c, side = case["batch_size"], config["in_channels"], config["sample_size"]

    def loss():
        sample, target = torch.randn(n, c, side, side), torch.randn(n, c, side, side)
        text = torch.randn(n, TOKENS, config["cross_attention_dim"])
        timesteps = torch.rand(n) * 999
        prediction = unet(sample, timesteps, text).sample
        return (prediction.float() - target).pow(2).mean()

    return unet, loss


def edges(x):
    return (x[..., 1:] - x[..., :-1]).abs().mean() + (x[..., 1:, :] - x[..., :-1, :]).abs().mean()


def autoencoder(case):
    vae = AutoencoderKL.from_config(case["vae"])
    n, crop = case["batch_size"], case["crop"]

    def loss():
        x = torch.rand(n, 1, crop, crop) * 2 - 1
        latents = vae.encode(x).latent_dist
        difference = vae.decode(latents.sample()).sample.float() - x
        kl = (latents.mean.pow(2) + latents.logvar.exp() - 1 - latents.logvar).float().mean()
        return difference.abs().mean() + edges(difference) * 0.5 + kl * 0.5e-4

    return vae, loss


def deep_compression_autoencoder(case):
    vae = AutoencoderDC.from_config(case["vae"])
    n, crop = case["batch_size"], case["crop"]

    def loss():
        x = torch.rand(n, 1, crop, crop) * 2 - 1
        latents = vae.encode(x).latent
        difference = vae.decode(latents + torch.randn_like(latents) * 0.1).sample.float() - x
        return difference.abs().mean() + edges(difference) * 0.5

    return vae, loss


def made(case):
    if "unet" in case:
        return denoiser(case)
    is_dc = case["vae"]["_class_name"] == "AutoencoderDC"
    return deep_compression_autoencoder(case) if is_dc else autoencoder(case)


def main():
    cases = json.load(open(sys.argv[1]))
    names = sys.argv[2].split(",") if len(sys.argv) > 2 else list(cases)
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 20
    mixed = len(sys.argv) > 4 and sys.argv[4] == "bf16"
    for name in names:
        case = cases[name]
        torch.manual_seed(0)
        network, loss = made(case)
        network.train()
        network.to(memory_format=torch.channels_last)
        parameters = list(network.parameters())
        average = [p.detach().clone() for p in parameters]
        optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.01, fused=True)
        times, begun, step = [], time.time(), 0
        while len(times) < 5 or time.time() - begun < seconds:
            start = time.time()
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                value = loss()
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            step += 1
            if step % 10 == 0:
                torch._foreach_lerp_(average, parameters, 0.01)
            times.append(time.time() - start)
        print(f"{name}: {case['batch_size'] / statistics.median(times[2:]):.2f} images/s", flush=True)


if __name__ == "__main__":
    main()
