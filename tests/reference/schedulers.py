"""Scheduler goldens: diffusers' own loops, run in float64, on a model that Rust can compute too.

Precision. diffusers keeps the tables `alphas_cumprod`, `sigmas` and `timesteps` in float32, and those rounded numbers are the
schedule a model was trained and is sampled with, so they are kept as they are. The arithmetic on samples is run in float64:
`float64_run` promotes the tables and lets `torch.float32` mean float64 inside diffusers' scheduler module, which otherwise rounds
coefficients and (Euler, DPM-Solver) the sample itself at every step. The same loop as shipped, with only the incoming samples
in float64, is stored too (`shipped`): it shows how much of a difference is diffusers' own rounding (under 5e-7 in all cases).
"""

import contextlib
import importlib
import itertools
import json
import math
import tempfile
from pathlib import Path
from unittest import mock

import torch
import diffusers
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, PNDMScheduler
from safetensors.torch import save_file

from common import fresh, write_json

KINDS = {
    "ddim": DDIMScheduler,
    "pndm": PNDMScheduler,
    "euler": EulerDiscreteScheduler,
    "dpm++2m": DPMSolverMultistepScheduler,
    "euler-a": diffusers.EulerAncestralDiscreteScheduler,
    "lcm": diffusers.LCMScheduler,
}
SIZE = 8
SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
COSINE = {"beta_schedule": "squaredcos_cap_v2"}

# scheduler_config.json as published with Stable Diffusion 1.4 and 2.1: not every key is there,
# which matters to `from_config`.
SD_1_4 = {
    "_class_name": "PNDMScheduler", "_diffusers_version": "0.2.2", "beta_end": 0.012, "beta_schedule": "scaled_linear",
    "beta_start": 0.00085, "clip_sample": False, "num_train_timesteps": 1000, "set_alpha_to_one": False,
    "skip_prk_steps": True, "steps_offset": 1, "trained_betas": None,
}  # fmt: skip
SD_2_1 = SD_1_4 | {"_class_name": "DDIMScheduler", "_diffusers_version": "0.8.0", "prediction_type": "v_prediction"}


def model(sample, timestep):
    """The analytic stand-in for a U-Net: bounded, and smooth in the sample, so that no solver diverges."""
    index = torch.arange(SIZE, dtype=torch.float64)
    return 0.7 * torch.sin(sample + 0.37 * index + float(timestep) / 150)


def noise():
    """Initial noise: fixed numbers of the size of a normal deviate."""
    index = torch.arange(SIZE, dtype=torch.float64)
    return 1.3 * torch.sin(1 + 2.4 * index)


class Float64Names:
    """torch, where `float32` means `float64`."""

    def __init__(self, module):
        self.module = module

    def __getattr__(self, name):
        return getattr(self.module, "float64" if name == "float32" else name)


def philox(counter, key):
    """Philox4x32-10 (Salmon et al. 2011) in Python's whole numbers."""
    counter, key, mask = list(counter), list(key), 2**32 - 1
    for _ in range(10):
        a, b = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [(b >> 32) ^ counter[1] ^ key[0], b & mask, (a >> 32) ^ counter[3] ^ key[1], a & mask]
        key = [(key[0] + 0x9E3779B9) & mask, (key[1] + 0xBB67AE85) & mask]
    return counter


def step_noise(seed, stream):
    """The product's noise for a step (`src/latents/noise.rs`): Box-Muller on Philox, rounded to float32."""
    numbers = []
    for i in range(SIZE // 4):
        words = philox([i, 0, stream, 0], [seed, 0])
        for a, b in (words[:2], words[2:]):
            radius, angle = math.sqrt(-2 * math.log((a + 0.5) / 2**32)), 2 * math.pi * (b + 0.5) / 2**32
            numbers += [radius * math.cos(angle), radius * math.sin(angle)]
    return torch.tensor(numbers, dtype=torch.float32).double()


@contextlib.contextmanager
def known_noise(module):
    """Where a scheduler adds noise at each step, it is that of seed 0."""
    streams = itertools.count(1)
    noise = mock.patch.object(module, "randn_tensor", lambda *_, **__: step_noise(0, next(streams)))
    with noise if hasattr(module, "randn_tensor") else contextlib.nullcontext():
        yield


def prepare(scheduler, steps):
    scheduler.set_timesteps(steps)
    if hasattr(scheduler, "set_begin_index"):
        # Karras sigmas can round to the same first timestep twice; looking it up, diffusers would
        # then start one step late.
        scheduler.set_begin_index(0)
    return scheduler


def loop(scheduler):
    """The loop of StableDiffusionPipeline, without guidance."""
    sample = noise() * scheduler.init_noise_sigma
    samples = [sample]
    with known_noise(importlib.import_module(type(scheduler).__module__)):
        for t in scheduler.timesteps:
            model_input = scheduler.scale_model_input(sample, t)
            sample = scheduler.step(model(model_input, t), t, sample).prev_sample
            samples.append(sample)
    return {
        "timesteps": scheduler.timesteps.double(),
        "init_noise_sigma": torch.as_tensor(scheduler.init_noise_sigma).double().reshape(1),
        "samples": torch.stack(samples),
    }


def float64_run(scheduler):
    """`loop` with diffusers' float32 tables and float64 arithmetic."""
    for table in ("alphas_cumprod", "final_alpha_cumprod", "sigmas"):
        if hasattr(scheduler, table):
            setattr(scheduler, table, getattr(scheduler, table).double())
    module = importlib.import_module(type(scheduler).__module__)
    with mock.patch.object(module, "torch", Float64Names(torch)):
        return loop(scheduler)


def cases():
    """(name, config, kind, steps). `config` is a dict for a scheduler of that kind, or a whole scheduler_config.json."""
    for kind, cls in KINDS.items():
        sd = dict(SD, steps_offset=1)
        if kind in ("euler-a", "lcm"):
            continue  # below
        if kind == "ddim":
            sd["clip_sample"] = False
        if kind == "pndm":
            sd["skip_prk_steps"] = True
        for prediction in ("epsilon", "v_prediction"):
            for betas in ({"beta_schedule": "linear"}, {}, COSINE):
                config = sd | betas | {"prediction_type": prediction}
                yield f"{kind} {config['beta_schedule']} {prediction}", config, kind, 20
        for spacing in ("leading", "trailing", "linspace"):
            for steps in (7, 50):
                yield f"{kind} {spacing} {steps}", sd | {"timestep_spacing": spacing}, kind, steps
        for steps in (1, 2, 3, 49):
            yield f"{kind} {steps} steps", sd, kind, steps
        few = sd | {"num_train_timesteps": 500, "trained_betas": [0.0001 + 0.00003 * i for i in range(500)]}
        yield f"{kind} trained betas", few, kind, 11
        if kind in ("ddim", "pndm"):
            for one in (False, True):
                for prediction in ("epsilon", "v_prediction"):
                    config = sd | {"set_alpha_to_one": one, "prediction_type": prediction}
                    yield f"{kind} set_alpha_to_one {one} {prediction}", config, kind, 10
        if kind != "pndm":
            yield f"{kind} sample", sd | {"prediction_type": "sample"}, kind, 10
            zero = sd | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}
            yield f"{kind} zero terminal snr", zero, kind, 10
        if kind in ("euler", "dpm++2m"):
            for prediction in ("epsilon", "v_prediction"):
                for betas in ({"beta_schedule": "linear"}, {}, COSINE):
                    config = sd | betas | {"prediction_type": prediction, "use_karras_sigmas": True}
                    yield f"{kind} karras {config['beta_schedule']} {prediction}", config, kind, 12
            yield f"{kind} karras leading", sd | {"use_karras_sigmas": True, "timestep_spacing": "leading"}, kind, 12
            yield f"{kind} sigma_min", sd | {"final_sigmas_type": "sigma_min"}, kind, 20
    yield "ddim clip_sample", SD | {"clip_sample": True, "clip_sample_range": 0.8}, "ddim", 10
    yield "pndm runge-kutta", SD | {"steps_offset": 1, "skip_prk_steps": False}, "pndm", 10
    yield "pndm runge-kutta v", SD | {"skip_prk_steps": False, "prediction_type": "v_prediction"}, "pndm", 10
    euler_karras = SD | {"use_karras_sigmas": True, "sigma_min": 0.1, "sigma_max": 10.0}
    yield "euler karras sigma range", euler_karras, "euler", 10
    for steps in (8, 20):
        for options in (
            {"solver_order": 1},
            {"solver_type": "heun"},
            {"lower_order_final": False, "final_sigmas_type": "sigma_min"},
            {"final_sigmas_type": "sigma_min"},
            {"euler_at_final": True, "final_sigmas_type": "sigma_min"},
            {"lambda_min_clipped": -5.1} | COSINE,
        ):
            name = " ".join(f"{key} {value}" for key, value in options.items())
            yield f"dpm++2m {name} {steps}", SD | options, "dpm++2m", steps
    for name, config in (("sd 1.4", SD_1_4), ("sd 2.1", SD_2_1)):
        for kind in KINDS:
            yield f"{name} as {kind}", config, kind, 10
    for source in ("euler", "dpm++2m"):
        saved = json.loads(json.dumps(saved_config(KINDS[source](**SD, prediction_type="v_prediction"))))
        for kind in KINDS:
            yield f"{source} as {kind}", saved, kind, 10
    # Those that add noise at every step.
    for kind in ("euler-a", "lcm"):
        for prediction in ("epsilon", "v_prediction"):
            for betas in ({"beta_schedule": "linear"}, {}, COSINE):
                config = SD | betas | {"prediction_type": prediction}
                yield f"{kind} {config.get('beta_schedule')} {prediction}", config, kind, 8
        for steps in (1, 2, 3, 4, 7, 49, 50):
            yield f"{kind} {steps} steps", SD | {"steps_offset": 1}, kind, steps
        zero = SD | {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}
        yield f"{kind} zero terminal snr", zero, kind, 8
        yield f"sd 1.4 as {kind}", SD_1_4, kind, 8
        yield f"euler as {kind}", saved_config(EulerDiscreteScheduler(**SD, prediction_type="v_prediction")), kind, 8
    for spacing in ("leading", "trailing"):
        yield f"euler-a {spacing}", SD | {"timestep_spacing": spacing, "steps_offset": 1}, "euler-a", 9
    yield "lcm own defaults", {"_class_name": "LCMScheduler"}, "lcm", 4
    yield "lcm sample", SD | {"prediction_type": "sample", "timestep_scaling": 3.0}, "lcm", 4
    yield "lcm clipped", SD | {"clip_sample": True, "clip_sample_range": 0.6, "original_inference_steps": 40}, "lcm", 4
    # Classes that are not among ours, whose configs share some keys with ours and have others of
    # their own.
    for source, own in (
        ("DDPMScheduler", {"clip_sample": False, "steps_offset": 1}), ("DDPMScheduler", {"variance_type": "fixed_large", "clip_sample_range": 0.9}),
        ("UniPCMultistepScheduler", {"solver_type": "bh2"}), ("DEISMultistepScheduler", {}), ("LMSDiscreteScheduler", {"use_karras_sigmas": True}),
        ("EulerAncestralDiscreteScheduler", {"timestep_spacing": "trailing"}), ("HeunDiscreteScheduler", {}), ("LCMScheduler", {}),
        ("DPMSolverSinglestepScheduler", {}), ("KDPM2DiscreteScheduler", {}),
    ):  # fmt: skip
        saved = json.loads(json.dumps(saved_config(getattr(diffusers, source)(**SD, **own))))
        for kind in KINDS:
            if (source, kind) == ("DEISMultistepScheduler", "dpm++2m"):
                # diffusers refuses its own file: `final_sigmas_type` zero is not supported for
                # `algorithm_type` deis
                continue
            yield f"{source} {' '.join(own)} as {kind}", saved, kind, 10
    # `sigma_min` and `sigma_max` are keys of Euler's alone, and every kind with Karras's schedule reads
    # them from the rest of the file.
    saved = json.loads(json.dumps(saved_config(EulerDiscreteScheduler(**euler_karras))))
    for kind in KINDS:
        yield f"euler karras sigma range as {kind}", saved, kind, 10


def saved_config(scheduler):
    """The scheduler_config.json that diffusers writes."""
    with tempfile.TemporaryDirectory() as folder:
        scheduler.save_pretrained(folder)
        return json.loads((Path(folder) / "scheduler_config.json").read_text())


def load(text, kind):
    """`Kind.from_config(checkpoint's scheduler.config)`, from the text of scheduler_config.json."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "scheduler_config.json").write_text(text)
        cls = getattr(diffusers, json.loads(text)["_class_name"])
        checkpoint = cls.from_pretrained(folder)
        return KINDS[kind].from_config(checkpoint.config)


def schedules():
    """`alphas_cumprod` as float32, of each way to make betas, and what DDPM's `add_noise` and `get_velocity` make of it."""
    sample, eps = noise().reshape(4, 2), noise().flip(0).reshape(4, 2)
    timesteps = torch.tensor([0, 1, 500, 999])
    for name, config in (
        ("linear", {"beta_schedule": "linear"}),
        ("scaled_linear", SD),
        ("squaredcos_cap_v2", COSINE),
        ("zero_snr", SD | {"rescale_betas_zero_snr": True}),
        ("ldm", {"beta_start": 0.0015, "beta_end": 0.0195, "beta_schedule": "scaled_linear"}),
    ):
        scheduler = DDIMScheduler(**config)
        yield f"{name}.alphas_cumprod", scheduler.alphas_cumprod.clone()
        yield f"{name}.config", torch.tensor(list(json.dumps(saved_config(scheduler)).encode()), dtype=torch.uint8)
        scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
        yield f"{name}.add_noise", scheduler.add_noise(sample, eps, timesteps)
        yield f"{name}.velocity", scheduler.get_velocity(sample, eps, timesteps)


def make():
    folder = fresh("schedulers")
    table, tensors = [], dict(schedules())
    for index, (name, config, kind, steps) in enumerate(cases()):
        if "_class_name" not in config:
            config = saved_config(KINDS[kind](**config))
        # Not strict JSON on purpose: diffusers writes `-Infinity` for lambda_min_clipped, and a
        # reader has to cope.
        text = json.dumps(config)
        run = float64_run(prepare(load(text, kind), steps))
        shipped = loop(prepare(load(text, kind), steps))["samples"]
        assert torch.isfinite(run["samples"]).all(), name
        error = (run["samples"] - shipped).norm() / run["samples"].norm()
        assert error < 1e-6, f"{name}: diffusers' own rounding is {error:.1e}"
        table.append({"name": name, "config": text, "kind": kind, "steps": steps})
        for key, value in run.items():
            tensors[f"{index}.{key}"] = value
        tensors[f"{index}.shipped"] = shipped.float()
    write_json(folder / "cases.json", table)
    save_file(tensors, folder / "schedulers.safetensors")


if __name__ == "__main__":
    make()
