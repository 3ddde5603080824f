"""diffusers' image-to-image and inpainting pipelines on the checkpoints of `pipelines.py`, which must be there.

The pipelines get the picture as latents, the mean of its posterior: given pixels they would sample them, from torch's own
random numbers. The first numbers they then draw are the noise that the case holds.
"""

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
)

from autoencoders import encode, scale, shown, unscale
from common import GOLDENS, fresh, write_case, write_json
from pipelines import REQUEST

SEED = 61
CASES = [
    {"model": "pipeline_sd1", "scheduler": "ddim", "strength": 0.6, "mask": False},
    {"model": "pipeline_sd2", "scheduler": "euler", "strength": 0.8, "mask": False},
    {"model": "pipeline_sd2", "scheduler": "dpm++2m", "strength": 0.7, "mask": False},
    {"model": "pipeline_sd1", "scheduler": "dpm++2m", "strength": 0.6, "mask": True},
    {"model": "pipeline_sd1", "scheduler": "euler", "strength": 1.0, "mask": True},
    {"model": "pipeline_sd2", "scheduler": "ddim", "strength": 0.8, "mask": True},
    {"model": "pipeline_dc", "scheduler": "ddim", "strength": 0.6, "mask": False},
    {"model": "pipeline_dc", "scheduler": "dpm++2m", "strength": 0.6, "mask": True},
]
SCHEDULERS = {"ddim": DDIMScheduler, "euler": EulerDiscreteScheduler, "dpm++2m": DPMSolverMultistepScheduler}
HEIGHT, WIDTH = REQUEST["height"], REQUEST["width"]


def picture():
    """Pixels [1, 3, H, W] as whole numbers from 0 to 255: slopes, different in each colour, with some grain."""
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    grain = torch.randint(0, 24, (3, HEIGHT, WIDTH), generator=torch.Generator().manual_seed(SEED))
    planes = torch.stack([x * 4, y * 6, (x + y) * 2])
    return (planes + grain).clamp(0, 255)[None].float()


def mask():
    """[1, 1, H, W], 1 where to paint; its edges lie on those of latents, where diffusers' nearest pixel decides nothing."""
    mask = torch.zeros(1, 1, HEIGHT, WIDTH)
    mask[..., 8:24, 12:36] = 1
    return mask


def run(case, pixels):
    masked = case["mask"]
    kind = StableDiffusionInpaintPipeline if masked else StableDiffusionImg2ImgPipeline
    pipeline = kind.from_pretrained(GOLDENS / case["model"], dtype=torch.float32, safety_checker=None)
    pipeline.scheduler = SCHEDULERS[case["scheduler"]].from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    image = pixels / 127.5 - 1
    with torch.no_grad():
        config = pipeline.vae.config
        latents = scale(config, encode(pipeline.vae, shown(config, image)))
    settings = {key: REQUEST[key] for key in ("prompt", "negative_prompt", "num_inference_steps", "guidance_scale")}
    settings |= {"image": latents, "strength": case["strength"], "generator": torch.Generator().manual_seed(SEED)}
    if masked:
        settings |= {"mask_image": mask(), "masked_image_latents": latents, "height": HEIGHT, "width": WIDTH}
    with torch.no_grad():
        final = pipeline(**settings, output_type="latent").images
        decoded = pipeline.vae.decode(unscale(config, final)).sample.clamp(-1, 1)
    if masked:  # ours: what is not painted is left alone
        decoded = torch.where(mask() > 0.5, decoded, image)
    return final, decoded


def make():
    folder = fresh("edits")
    pixels = picture()
    noise = torch.randn((1, 4, HEIGHT // 4, WIDTH // 4), generator=torch.Generator().manual_seed(SEED))
    outputs = {}
    for number, case in enumerate(CASES):
        outputs[f"{number}.latents"], outputs[f"{number}.image"] = run(case, pixels)
    write_case(folder, {"pixels": pixels, "mask": mask(), "noise": noise}, outputs)
    write_json(folder / "cases.json", CASES)
