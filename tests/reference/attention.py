"""Cross-attention of diffusers' pipeline on the checkpoints of `pipelines.py`, which must be there: how much each latent
position attends to each token of the prompt, the mean over heads, layers and steps, as DAAM (arXiv:2210.04885) looks at it."""

import torch
from diffusers import StableDiffusionPipeline
from torch.nn.functional import interpolate

from common import GOLDENS, fresh, normal, write_case
from pipelines import REQUEST

SIZE = (REQUEST["height"] // 4, REQUEST["width"] // 4)
# Positions of each size of a layer, as height and width.
SIZES = {SIZE[0] * SIZE[1] // 4**level: tuple(side // 2**level for side in SIZE) for level in range(3)}


class Watch:
    """Attends as diffusers' first processor did, which had the probabilities as a tensor, and keeps those of the prompt."""

    def __init__(self, maps):
        self.maps = maps

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None):
        states = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key, value = (attn.head_to_batch_dim(project(states)) for project in (attn.to_k, attn.to_v))
        probabilities = attn.get_attention_scores(query, key)  # [B * heads, Tq, Tk]
        if encoder_hidden_states is not None:
            # the negative prompt comes first
            of_prompt = probabilities.unflatten(0, (-1, attn.heads))[-1].mean(0)
            grid = of_prompt.T.unflatten(1, SIZES[len(of_prompt)])
            self.maps.append(interpolate(grid[None], SIZE, mode="bilinear")[0])
        hidden_states = attn.batch_to_head_dim(torch.bmm(probabilities, value))
        return attn.to_out[1](attn.to_out[0](hidden_states))


def make():
    folder = fresh("attention")
    outputs = {}
    for name in ("pipeline_sd1", "pipeline_sd2"):
        pipeline = StableDiffusionPipeline.from_pretrained(GOLDENS / name, dtype=torch.float32, safety_checker=None)
        pipeline.set_progress_bar_config(disable=True)
        maps = []
        pipeline.unet.set_attn_processor(Watch(maps))
        latents = normal(44, 1, 4, *SIZE)
        with torch.no_grad():
            outputs[f"{name}.latents"] = pipeline(**REQUEST, latents=latents, output_type="latent").images
        outputs[name] = torch.stack(maps).mean(0)
    write_case(folder, {}, outputs)
