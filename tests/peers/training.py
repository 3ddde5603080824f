"""Images a second of whole optimizer steps: ours and PyTorch's with diffusers, in turn, on the same cores.

    cargo bench -p train --bench step --no-run       # prints where the program is
    python tests/peers/training.py STEP [NAME,..] [--seconds 10] [--rounds 3] [--burn] [--device cuda] [--out RECORD]

STEP is that program; `tests/peers/requirements.txt` has what else is needed.
"""

import argparse
import datetime
import json
import pathlib
import re
import statistics
import subprocess
import sys
import time

import torch
from diffusers import AutoencoderDC, AutoencoderKL, UNet2DConditionModel

CASES = pathlib.Path(__file__).with_name("training.json")
TOKENS = 77


def denoiser(case, device):
    config = dict(case["unet"])
    unet = UNet2DConditionModel.from_config(config)
    n, c, side = case["batch_size"], config["in_channels"], config["sample_size"]

    def loss():
        sample, target = (torch.randn(n, c, side, side, device=device) for _ in range(2))
        text = torch.randn(n, TOKENS, config["cross_attention_dim"], device=device)
        timesteps = torch.rand(n, device=device) * 999
        prediction = unet(sample, timesteps, text).sample
        return (prediction.float() - target).pow(2).mean()

    return unet, loss


def edges(x):
    return (x[..., 1:] - x[..., :-1]).abs().mean() + (x[..., 1:, :] - x[..., :-1, :]).abs().mean()


def autoencoder(case, device):
    vae = AutoencoderKL.from_config(case["vae"])
    n, crop = case["batch_size"], case["crop"]

    def loss():
        x = torch.rand(n, 1, crop, crop, device=device) * 2 - 1
        latents = vae.encode(x).latent_dist
        difference = vae.decode(latents.sample()).sample.float() - x
        kl = (latents.mean.pow(2) + latents.logvar.exp() - 1 - latents.logvar).float().mean()
        return difference.abs().mean() + edges(difference) * 0.5 + kl * 0.5e-4

    return vae, loss


def deep_compression_autoencoder(case, device):
    vae = AutoencoderDC.from_config(case["vae"])
    n, crop = case["batch_size"], case["crop"]

    def loss():
        x = torch.rand(n, 1, crop, crop, device=device) * 2 - 1
        latents = vae.encode(x).latent
        difference = vae.decode(latents + torch.randn_like(latents) * 0.1).sample.float() - x
        return difference.abs().mean() + edges(difference) * 0.5

    return vae, loss


def made(case, device):
    if "unet" in case:
        return denoiser(case, device)
    is_dc = case["vae"]["_class_name"] == "AutoencoderDC"
    return deep_compression_autoencoder(case, device) if is_dc else autoencoder(case, device)


def theirs(case, seconds, mixed, device):
    """Median images a second, two steps for warming up left out."""
    torch.manual_seed(0)
    network, loss = made(case, device)
    network.train()
    network.to(device=device, memory_format=torch.channels_last)
    parameters = list(network.parameters())
    average = [p.detach().clone() for p in parameters]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.01, fused=True)
    times, begun = [], time.time()
    while len(times) < 5 or time.time() - begun < seconds:
        start = time.time()
        with torch.autocast(device, torch.bfloat16, enabled=mixed):
            value = loss()
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        if len(times) % 10 == 9:
            torch._foreach_lerp_(average, parameters, 0.01)
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.time() - start)
    return case["batch_size"] / statistics.median(times[2:])


def ours(program, name, seconds, replicas, *more):
    command = [program, str(CASES), name, str(int(seconds)), str(replicas), *more]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(re.findall(rf"{name}: ([0-9.]+) images/s", said)[-1])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("names", nargs="?")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--burn", action="store_true", help="burn's own operations too")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    cases = json.loads(CASES.read_text())
    names = arguments.names.split(",") if arguments.names else list(cases)
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    record = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%MZ"),
        "machine": f"{torch.get_num_threads()} cores, {model.group(1) if model else 'unknown'}",
        "device": torch.cuda.get_device_name() if arguments.device == "cuda" else "cpu",
        "torch": torch.__version__,
        "command": " ".join(["python tests/peers/training.py STEP", *sys.argv[2:]]),
        "unit": "images a second, of whole optimizer steps",
        "cases": {},
    }
    for name in names:
        seconds, case = arguments.seconds, cases[name]
        kinds = ["burn"] * arguments.burn + ["one replica", "two replicas", "two replicas bf16", "torch f32", "torch bf16"]
        runs = {kind: [] for kind in kinds}
        device = arguments.device
        for turn in range(arguments.rounds):
            if turn == 0 and arguments.burn:
                runs["burn"].append(ours(arguments.program, name, seconds, 2, "plain", device))
            if turn == 0:
                runs["torch bf16"].append(theirs(case, seconds, True, device))
            runs["one replica"].append(ours(arguments.program, name, seconds, 1, device))
            runs["two replicas"].append(ours(arguments.program, name, seconds, 2, device))
            runs["two replicas bf16"].append(ours(arguments.program, name, seconds, 2, "bf16", device))
            runs["torch f32"].append(theirs(case, seconds, False, device))
        medians = {key: statistics.median(values) for key, values in runs.items()}
        best = max(medians["one replica"], medians["two replicas"])
        ratio = best / medians["torch f32"]
        record["cases"][name] = {"runs": runs, "median": medians, "times PyTorch f32": ratio}
        row = ", ".join(f"{key} {value:.1f}" for key, value in medians.items())
        print(f"{name}: {row}; {ratio:.2f} times PyTorch in f32", flush=True)
    if arguments.out:
        arguments.out.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
