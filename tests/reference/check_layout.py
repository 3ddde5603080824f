"""Whether diffusers makes of an exported folder what `roentgen` makes of it: `python check_layout.py FOLDER --roentgen PATH`.

FOLDER is what `train export --layout diffusers` wrote, PATH the built `roentgen`. Both start from the same latents; prompt
embeddings, final latents and image must agree within 1e-4. Not part of the tests, which need no Python.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from common import normal

PROMPT = "PA chest radiograph of a 60-year-old man. Large left pleural effusion."
NEGATIVE = "normal"
STEPS, GUIDANCE, TOLERANCE = 5, 3.0, 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--roentgen", type=Path, required=True)
    arguments = parser.parse_args()

    pipeline = StableDiffusionPipeline.from_pretrained(arguments.folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    size = pipeline.unet.config.sample_size
    latents = normal(61, 1, pipeline.unet.config.in_channels, size, size)
    options = {"num_inference_steps": STEPS, "guidance_scale": GUIDANCE, "latents": latents}
    with torch.no_grad():
        expected = {
            "prompt_embeds": pipeline.encode_prompt(PROMPT, "cpu", 1, False)[0],
            "latents": pipeline(PROMPT, negative_prompt=NEGATIVE, output_type="latent", **options).images,
            "image": pipeline(PROMPT, negative_prompt=NEGATIVE, output_type="pt", **options).images * 2 - 1,
        }

    with tempfile.TemporaryDirectory() as folder:
        start, dump = Path(folder) / "latents.safetensors", Path(folder) / "dump.safetensors"
        save_file({"latents": latents}, start)
        subprocess.run(
            [
                arguments.roentgen, "generate", "--model", arguments.folder, "--prompt", PROMPT, "--negative", NEGATIVE,
                "--steps", str(STEPS), "--guidance", str(GUIDANCE), "--latents", start, "--dump", dump,
                "--out", Path(folder) / "image.png",
            ],
            check=True,
        )  # fmt: skip
        found = load_file(dump)

    bad = False
    for name, tensor in expected.items():
        error = (found[name] - tensor).abs().max().item()
        bad |= not error <= TOLERANCE
        print(f"{name}: shape {list(tensor.shape)}, largest difference {error:.2e}")
    sys.exit(f"more than {TOLERANCE}" if bad else 0)


if __name__ == "__main__":
    main()
