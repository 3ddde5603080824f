"""CLIP text encoders: transformers' `CLIPTextModel`."""

import torch
from transformers import CLIPTextConfig, CLIPTextModel

from common import fresh, normal, rename, seeded, write_case

COMMON = {"vocab_size": 320, "bos_token_id": 318, "eos_token_id": 319, "max_position_embeddings": 77, "projection_dim": 24}


def config(**options):
    """As in Stable Diffusion's text_encoder/config.json."""
    return CLIPTextConfig(**(COMMON | options))


SD1 = config(hidden_act="quick_gelu", hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
# Stable Diffusion 2 has gelu, and 23 of OpenCLIP's 24 layers: the penultimate one is simply the
# last. Heads of 64 channels with width 1024 there; an odd number of layers and another width here.
SD2 = config(hidden_act="gelu", hidden_size=40, intermediate_size=160, num_hidden_layers=3, num_attention_heads=5)


def published_name(name):
    """The name of a tensor in published checkpoints; transformers 5 leaves out the first word when it saves."""
    return f"text_model.{name}"


def position_ids():
    """A buffer which older checkpoints hold beside the weights."""
    return {"text_model.embeddings.position_ids": torch.arange(77).unsqueeze(0)}


def ids(seed, length):
    """Random tokens in a batch of two, with the padding that the tokenizer makes."""
    tokens = (normal(seed, 2, length).abs() * 97).long() % 318
    tokens[:, 0], tokens[0, length // 2 :], tokens[1, -1] = 318, 319, 319
    return tokens


def make():
    for name, options, seed, length in (("text_encoder_sd1", SD1, 11, 77), ("text_encoder_sd2", SD2, 12, 21)):
        folder = fresh(name)
        model = seeded(CLIPTextModel(options), seed)
        model.save_pretrained(folder)
        if options is SD1:
            rename(folder, "model.safetensors", published_name, position_ids())
        # The outputs are those of the files, so that a golden cannot be about other weights.
        model = CLIPTextModel.from_pretrained(folder).eval()
        tokens = ids(seed, length)
        with torch.no_grad():
            write_case(folder, {"ids": tokens}, {"last_hidden_state": model(tokens).last_hidden_state})
