"""One training step of the small models of `pipelines.py`: the loss and the L2 norm of every gradient; and of one's autoencoder.

The losses are those of diffusers' `examples/text_to_image/train_text_to_image.py`, computed in float64, so that the golden holds
the true numbers and what a float32 training differs by is its own rounding.
"""

import torch
from diffusers import AutoencoderDC, DDPMScheduler, StableDiffusionPipeline
from diffusers.training_utils import compute_snr

from common import GOLDENS, fresh, normal, write_case, write_json

PROMPTS = ["PA chest radiograph of a 60-year-old man. Large left pleural effusion.", ""]
TIMESTEPS = [811, 37]
SNR_GAMMA = 5.0


def loss(pipeline, scheduler, inputs, snr_gamma=None):
    """The loss of the script, without and with `--snr_gamma`."""
    latents, noise = inputs["latents"].double(), inputs["noise"].double()
    timesteps = inputs["timesteps"]
    noisy = scheduler.add_noise(latents, noise, timesteps)
    velocity = scheduler.config.prediction_type == "v_prediction"
    target = scheduler.get_velocity(latents, noise, timesteps) if velocity else noise
    context = pipeline.text_encoder(inputs["ids"])[0]
    errors = ((pipeline.unet(noisy, timesteps, context).sample - target) ** 2).mean(dim=(1, 2, 3))
    if snr_gamma is None:
        return errors.mean()
    snr = compute_snr(scheduler, timesteps).double()
    return (errors * snr.clamp(max=snr_gamma) / (snr + 1 if velocity else snr)).mean()


def make():
    for family, prediction_type in (("sd1", "epsilon"), ("sd2", "v_prediction"), ("dc", "v_prediction")):
        pipeline = StableDiffusionPipeline.from_pretrained(GOLDENS / f"pipeline_{family}", dtype=torch.float64)
        scheduler = DDPMScheduler.from_config(pipeline.scheduler.config)
        assert scheduler.config.prediction_type == prediction_type
        tokenizer = pipeline.tokenizer
        inputs = {
            "latents": normal(51, 2, 4, 8, 6),
            "noise": normal(52, 2, 4, 8, 6),
            "timesteps": torch.tensor(TIMESTEPS),
            "ids": tokenizer(PROMPTS, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids,
        }
        value = loss(pipeline, scheduler, inputs)
        value.backward()
        parts = {"text_encoder": pipeline.text_encoder, "unet": pipeline.unet}
        norms = {
            # transformers 5 leaves out the first word of the names when it saves; so does this.
            f"{part}.{name.removeprefix('text_model.')}": parameter.grad.norm().item()
            for part, model in parts.items()
            for name, parameter in model.named_parameters()
        }
        with torch.no_grad():
            weighted = loss(pipeline, scheduler, inputs, SNR_GAMMA)
        folder = fresh(f"gradients_{family}")
        write_case(folder, inputs, {})
        write_json(folder / "step.json", {"loss": value.item(), "loss_snr_gamma_5": weighted.item(), "norms": norms})
    autoencoder()


def autoencoder():
    """The mean squared error of an image encoded and decoded."""
    model = AutoencoderDC.from_pretrained(GOLDENS / "pipeline_dc/vae", dtype=torch.float64)
    image = normal(53, 2, 3, 16, 12)
    value = ((model.decode(model.encode(image.double()).latent).sample - image) ** 2).mean()
    value.backward()
    norms = {f"vae.{name}": parameter.grad.norm().item() for name, parameter in model.named_parameters()}
    folder = fresh("gradients_vae_dc")
    write_case(folder, {"image": image}, {})
    write_json(folder / "step.json", {"loss": value.item(), "norms": norms})
