"""LoRAs in the formats of diffusers, kohya and PEFT for the checkpoint `pipeline_sd1`, and what the pipeline draws with each; and what it
draws with another decoder.

Every kind of layer that such files change is changed: attention, feed-forward and projections of the U-Net, its convolutions (3x3, 1x1,
strided) and time embeddings, and the text encoder. Alphas differ from ranks, ranks from each other.
"""

import json

import torch
from diffusers import AutoencoderTiny, StableDiffusionPipeline
from diffusers.training_utils import _collate_lora_metadata
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from common import GOLDENS, fresh, normal, write_case, write_json
from pipelines import REQUEST

FOLDER = GOLDENS / "pipeline_sd1"
SCALE = 0.7
UNET = [
    "to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out", "conv1", "conv2", "conv_shortcut", "time_emb_proj",
    "downsamplers.0.conv", "upsamplers.0.conv", "conv_in", "conv_out", "linear_1",
]  # fmt: skip
TEXT = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]


def pipeline():
    loaded = StableDiffusionPipeline.from_pretrained(FOLDER, dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def randomised(model, seed):
    """Random matrices of a size that changes the output by a few per cent; PEFT starts with `B` at zero, which changes nothing."""
    with torch.no_grad():
        for i, (name, parameter) in enumerate(sorted(model.named_parameters())):
            if "lora_" in name:
                parameter.copy_((0.3 * normal(seed + i, *parameter.shape) / parameter[0].numel() ** 0.5).half())
    return model


def drawn(loaded):
    """Embeddings, latents and image of the request of `pipeline_sd1`, from its latents."""
    latents = load_file(FOLDER / "case.safetensors")["input.latents"]
    with torch.no_grad():
        embeds, _ = loaded.encode_prompt(REQUEST["prompt"], "cpu", 1, False)
        final = loaded(**REQUEST, latents=latents.clone(), output_type="latent").images
        image = loaded(**REQUEST, latents=latents.clone(), output_type="pt").images * 2 - 1
    return {"prompt_embeds": embeds, "latents": final, "image": image}


def fused(file):
    loaded = pipeline()
    loaded.load_lora_weights(file.parent, weight_name=file.name)
    loaded.fuse_lora(lora_scale=SCALE)
    return drawn(loaded)


def trained():
    """diffusers' file with PEFT's names, which its header tells the alphas of, and the matrices."""
    loaded = pipeline()
    loaded.unet.add_adapter(LoraConfig(r=4, lora_alpha=2, target_modules=UNET, rank_pattern={"conv1": 2}, alpha_pattern={"conv1": 3, "to_q": 5}))
    loaded.text_encoder.add_adapter(LoraConfig(r=3, lora_alpha=6, target_modules=TEXT))
    parts = {"unet": randomised(loaded.unet, 700), "text_encoder": randomised(loaded.text_encoder, 800)}
    matrices = {part: get_peft_model_state_dict(model) for part, model in parts.items()}
    metadata = _collate_lora_metadata(parts)
    for config in metadata.values():
        # the same on every machine
        config |= {"base_model_name_or_path": None, "target_modules": sorted(config["target_modules"])}
    StableDiffusionPipeline.save_lora_weights(
        fresh("lora"),
        unet_lora_layers=matrices["unet"],
        text_encoder_lora_layers=convert_state_dict_to_diffusers(matrices["text_encoder"]),
        weight_name="diffusers.safetensors",
        **metadata,
    )
    return {part: {key: value.half() for key, value in tensors.items()} for part, tensors in matrices.items()}


def kohya(matrices):
    """sd-scripts: one alpha for the linear layers and another for the convolutions, float16."""
    tensors = {}
    for part, prefix in (("unet", "lora_unet_"), ("text_encoder", "lora_te_text_model_")):
        for key, value in matrices[part].items():
            module, matrix = key.rsplit(".lora_", 1)
            name = prefix + module.replace(".", "_")
            tensors[f"{name}.lora_{'down' if matrix[0] == 'A' else 'up'}.weight"] = value.contiguous()
            down = matrices[part][f"{module}.lora_A.weight"]
            tensors[f"{name}.alpha"] = torch.tensor(1.5 if down.ndim == 2 or down.shape[-1] == 1 else 1.0).half()
    return tensors


def training_script(matrices):
    """What `train_text_to_image_lora.py` writes: the U-Net's attention alone, whose alphas are its ranks."""
    attention = {key: value for key, value in matrices["unet"].items() if ".attn" in key}
    return {f"unet.{key}": value.contiguous() for key, value in convert_state_dict_to_diffusers(attention).items()}


def attention_processors(matrices):
    """diffusers before PEFT: only the U-Net's attention and the text encoder's, without alpha."""
    tensors = {}
    for key, value in matrices["unet"].items():
        module, matrix = key.rsplit(".lora_", 1)
        path, _, projection = module.removesuffix(".0").rpartition(".")
        if projection in ("to_q", "to_k", "to_v", "to_out"):
            tensors[f"unet.{path}.processor.{projection}_lora.{'down' if matrix[0] == 'A' else 'up'}.weight"] = value.contiguous()
    names = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}
    for key, value in matrices["text_encoder"].items():
        module, matrix = key.rsplit(".lora_", 1)
        path, projection = module.rsplit(".", 1)
        if projection in names:
            key = f"text_encoder.text_model.{path}.{names[projection]}_lora.{'down' if matrix[0] == 'A' else 'up'}.weight"
            tensors[key] = value.contiguous()
    return tensors


def peft_folder(folder):
    """PEFT's own folder, of the U-Net alone."""
    loaded = pipeline()
    config = LoraConfig(r=4, lora_alpha=3, target_modules=["to_q", "to_v", "conv2"], use_rslora=True)
    randomised(get_peft_model(loaded.unet, config), 900).save_pretrained(folder / "peft")
    (folder / "peft" / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "peft/adapter_config.json").read_text())
    write_json(folder / "peft/adapter_config.json", config | {"target_modules": sorted(config["target_modules"])})
    loaded = pipeline()
    loaded.unet = PeftModel.from_pretrained(loaded.unet, folder / "peft").merge_and_unload()
    return drawn(loaded)


def other_decoder():
    """The same checkpoint with TAESD in its autoencoder's place."""
    loaded = pipeline()
    loaded.vae = AutoencoderTiny.from_pretrained(GOLDENS / "vae_tiny").float()
    write_case(fresh("decoder"), {}, {"image": drawn(loaded)["image"]})


def make():
    other_decoder()
    matrices = trained()
    folder = GOLDENS / "lora"
    save_file(kohya(matrices), folder / "kohya.safetensors", metadata={"ss_network_dim": "4"})
    save_file(attention_processors(matrices), folder / "attention_processors.safetensors", metadata={"format": "pt"})
    save_file(training_script(matrices), folder / "training_script.safetensors", metadata={"format": "pt"})
    plain = drawn(pipeline())
    outputs = {}
    for name in ("diffusers", "kohya", "training_script", "attention_processors"):
        outputs |= {f"{name}.{key}": value for key, value in fused(folder / f"{name}.safetensors").items()}
    outputs |= {f"peft.{key}": value for key, value in peft_folder(folder).items()}
    for key, value in outputs.items():
        change = (value - plain[key.split(".")[1]]).norm() / value.norm()
        assert change > 0.01 or key in ("peft.prompt_embeds", "training_script.prompt_embeds"), f"{key} changes by {change:.1e}"
    write_case(folder, {}, outputs)
    assert b"lora_adapter_metadata" in (folder / "diffusers.safetensors").read_bytes()


if __name__ == "__main__":
    torch.set_num_threads(1)
    make()
