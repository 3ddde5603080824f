"""The reader of a bundle: a residual classifier in plain PyTorch, its activation map, and the distance of its features."""

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from common import fresh, normal, seeded, write_case, write_json

CONFIG = {
    "_class_name": "Reader",
    "model": {"size": 40, "channels": [12, 24], "layers_per_block": 2, "norm_num_groups": 4},
    "temperature": 1.5,
    "farthest": 3.0,
    "labels": [{"name": name, "auroc": 0.8, "threshold": 0.5} for name in ("Mass", "Effusion", "Child")],
}


class Block(nn.Module):
    def __init__(self, wide_in, wide, groups):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(groups, wide_in), nn.GroupNorm(groups, wide)
        self.conv1, self.conv2 = nn.Conv2d(wide_in, wide, 3, padding=1), nn.Conv2d(wide, wide, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(wide_in, wide, 1) if wide_in != wide else None

    def forward(self, x):
        y = self.conv1(functional.silu(self.norm1(x)))
        y = self.conv2(functional.silu(self.norm2(y)))
        return y + (self.conv_shortcut(x) if self.conv_shortcut else x)


class Halving(nn.Module):
    def __init__(self, wide):
        super().__init__()
        self.conv = nn.Conv2d(wide, wide, 3, stride=2, padding=1)

    def forward(self, x):
        return self.conv(x)


class Classifier(nn.Module):
    def __init__(self, channels, layers_per_block, norm_num_groups, labels, size=None):
        super().__init__()
        after = [wide for wide in channels for _ in range(layers_per_block)]
        before = [channels[0], *after[:-1]]
        self.each = layers_per_block
        self.conv_in = nn.Conv2d(16, channels[0], 3, padding=1)
        self.resnets = nn.ModuleList(Block(a, b, norm_num_groups) for a, b in zip(before, after))
        self.downsamplers = nn.ModuleList(Halving(wide) for wide in channels[:-1])
        self.norm_out = nn.GroupNorm(norm_num_groups, channels[-1])
        self.head = nn.Linear(channels[-1], labels)

    def forward(self, images):
        """Features at each place, `[B, D, h, w]`."""
        centred = images - images.mean((1, 2, 3), keepdim=True)
        deviation = centred.square().mean((1, 2, 3), keepdim=True).sqrt().clamp_min(0.02)
        x = self.conv_in(functional.pixel_unshuffle(centred / deviation, 4))
        for i, resnet in enumerate(self.resnets):
            if i and i % self.each == 0:
                x = self.downsamplers[i // self.each - 1](x)
            x = resnet(x)
        return functional.silu(self.norm_out(x))


class Reader(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.classifier = Classifier(labels=len(config["labels"]), **config["model"])
        width = config["model"]["channels"][-1]
        self.whitening = nn.Linear(width, width)


def make():
    folder = fresh("reader")
    model = seeded(Reader(CONFIG), 91)
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    model.load_state_dict(load_file(folder / "model.safetensors"))
    write_json(folder / "config.json", CONFIG)
    size = CONFIG["model"]["size"]
    image = (0.3 * normal(93, 1, 1, size, size) + torch.linspace(-0.6, 0.4, size)).clamp(-1, 1)
    with torch.no_grad():
        maps = model.classifier(image)
        pooled = maps.mean((2, 3))
        evidence = model.classifier.head(maps.permute(0, 2, 3, 1))
        outputs = {
            "evidence": evidence,
            "logits": evidence.exp().mean((1, 2)).log(),
            "distance": model.whitening(pooled).square().mean(1).sqrt(),
        }
    write_case(folder, {"image": image}, outputs)
