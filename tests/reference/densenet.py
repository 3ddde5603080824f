"""torchxrayvision's `DenseNet`, small and with random weights, and its last features (`features2`) of noise."""

import torch
from safetensors.torch import save_file
from torchxrayvision.models import DenseNet

from common import fresh, normal, seeded, write_case


def make():
    network = seeded(DenseNet(growth_rate=4, block_config=(2, 1, 3), num_init_features=6, bn_size=2, num_classes=3), 71)
    generator = torch.Generator().manual_seed(72)
    for name, buffer in network.named_buffers():  # statistics that are not trivial either
        if buffer.is_floating_point() and "running" in name:
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    folder = fresh("densenet")
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, folder / "model.safetensors")
    x = 300 * normal(73, 2, 1, 64, 64)
    with torch.no_grad():
        features = network.features2(x)
    write_case(folder, {"x": x}, {"features": features})


if __name__ == "__main__":
    make()
