"""The rulers of `train rulers` and the sides of `train data` in numpy and scipy, on small made-up images.

Band power: `numpy.fft`. Laplacian pyramids and the sliced Wasserstein distance: the published program of Karras et al. 2018
(`sliced_wasserstein.py`) for one channel, with given patches and directions. Ridge: the normal equations.
"""

import numpy as np
import torch
from scipy.ndimage import convolve

from common import fresh, write_case

EDGES = np.array([0, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1])
TAPS = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256


def bands(images):
    """Power between the edges (fractions of Nyquist) under a Hann window, summed over the images."""
    n = images.shape[-1]
    window = np.outer(np.hanning(n), np.hanning(n))
    centred = images - images.mean((-2, -1), keepdims=True)
    power = (np.abs(np.fft.fft2(centred * window)) ** 2).sum(0)
    frequency = np.abs(np.fft.fftfreq(n)) * 2
    radius = np.hypot(frequency[:, None], frequency[None, :])
    return np.array([power[(radius >= a) & (radius < b)].sum() for a, b in zip(EDGES, EDGES[1:])])


def down(image):
    return convolve(image, TAPS, mode="mirror")[::2, ::2]


def up(image):
    spread = np.zeros(np.array(image.shape) * 2)
    spread[::2, ::2] = image
    return convolve(spread, TAPS * 4, mode="mirror")


def pyramid(image):
    levels = []
    while len(image) >= 32:
        smaller = down(image)
        levels.append(image - up(smaller))
        image = smaller
    return levels + [image]


def sliced(a, b, directions):
    a, b = ((cloud - cloud.mean()) / cloud.std() for cloud in (a, b))
    return np.abs(np.sort(a @ directions.T, 0) - np.sort(b @ directions.T, 0)).mean()


def fields(images):
    """Mean grey of the left field of the patient, which is at the right of the image, minus the right one's."""
    n = images.shape[-1]
    x0, x1, y0, y1 = (round(edge * n) for edge in (0.10, 0.42, 0.45, 0.75))
    rows = images[:, y0:y1]
    return rows[:, :, n - x1 : n - x0].mean((1, 2)) - rows[:, :, x0:x1].mean((1, 2))


def ridge(images, side, weight=30.0):
    n = images.shape[-1] // 16
    small = images.reshape(len(images), 16, n, 16, n).mean((2, 4)) / 127.5
    x = (small - small[:, :, ::-1])[:, :, :8].reshape(len(images), -1)
    return np.linalg.solve(x.T @ x + weight * np.eye(128), x.T @ side)


def make():
    rng = np.random.default_rng(83)
    y, x = np.mgrid[:64, :64] / 64
    waves = [110 + 60 * np.sin(a * x + b * y) * np.cos(c * y) for a, b, c in rng.uniform(2, 60, (12, 3))]
    images = np.clip(np.stack(waves) + rng.normal(0, 9, (12, 64, 64)), 0, 255).round().astype(np.uint8)
    side = rng.choice([-1.0, 1.0], 12)
    grey = images.astype(np.float64)
    a, b = rng.normal(0.3, 2, (40, 49)), rng.normal(0, 1, (40, 49)) ** 3
    directions = rng.normal(size=(16, 49))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    levels = pyramid(grey[0])
    mse = ((grey[:6] - grey[6:]) ** 2 / 127.5**2).mean((1, 2))
    inputs = {"images_64": images, "side": side, "patches_a": a, "patches_b": b, "directions": directions}
    outputs = {
        "bands": bands(grey[:6] / 127.5 - 1),
        "psnr": np.array([(10 * np.log10(4 / mse)).mean()]),
        "sliced": np.array([sliced(a, b, directions)]),
        "asymmetry": fields(grey),
        "ridge": ridge(grey, side),
    } | {f"level_{len(level)}": level for level in levels}
    as_float = lambda values: values if values.dtype == np.uint8 else values.astype(np.float32)
    tensors = [{key: torch.from_numpy(np.ascontiguousarray(as_float(v))) for key, v in part.items()} for part in (inputs, outputs)]
    write_case(fresh("rulers"), *tensors)


if __name__ == "__main__":
    make()
