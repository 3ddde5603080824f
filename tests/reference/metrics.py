"""The figures of `train evaluate` as published implementations compute them, on small made-up data.

Scores with ties: scikit-learn. Fréchet distance: the formula with scipy's `sqrtm`, and with singular values. Precision, recall, density and coverage:
`prdc`, by the authors of the last two. Nearest neighbours: scikit-learn. MS-SSIM: of torchmetrics' SSIM.
"""

import numpy as np
import torch
from prdc import compute_prdc
from scipy.linalg import sqrtm
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from torchmetrics.functional.image import structural_similarity_index_measure

from common import fresh, write_case, write_json

NEAREST_K = 5
BETAS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])


def frechet(a, b, regular=True):
    """Heusel et al. 2017, eq. 6. `sqrtm` is inaccurate for singular matrices; the singular values of one cloud's points
    times the other's are not, and both are compared where they must agree."""
    centred = (a - a.mean(0)) @ (b - b.mean(0)).T / np.sqrt((len(a) - 1) * (len(b) - 1))
    root = np.linalg.svd(centred, compute_uv=False).sum()
    if regular:
        assert abs(root - np.trace(sqrtm(np.cov(a.T) @ np.cov(b.T)))) < 1e-9
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(np.cov(a.T) + np.cov(b.T)) - 2 * root)


def images(rng, size):
    """A smooth picture, the same with noise, the same shifted and darker, and another one."""
    y, x = np.mgrid[:size, :size] / size
    picture = 120 + 60 * np.sin(9 * x + 2 * y) * np.cos(5 * y) + 40 * (x - 0.5)
    other = 120 + 60 * np.cos(7 * y - 3 * x) + 30 * np.sin(21 * x)
    noisy = picture + rng.normal(0, 12, picture.shape)
    moved = 0.8 * np.roll(picture, 3, axis=1)
    return np.clip(np.stack([picture, noisy, moved, other]), 0, 255).round().astype(np.uint8)


def ms_ssim(a, b, scales):
    """Wang et al. 2003, eq. 7, with as many of their weights as scales fit, of torchmetrics' SSIM of each scale.

    Not its own MS-SSIM, which leaves the mirrored border out of the contrasts but not out of the last similarity.
    """
    betas = BETAS[:scales] / BETAS[:scales].sum()
    a, b = (torch.from_numpy(image.astype(np.float64))[None, None] for image in (a, b))
    product = 1.0
    for scale, beta in enumerate(betas):
        if scale > 0:
            a, b = (torch.nn.functional.avg_pool2d(image, 2) for image in (a, b))
        ssim = lambda **kind: structural_similarity_index_measure(a, b, sigma=1.5, data_range=255.0, **kind)[1]
        if scale + 1 < scales:
            factor = ssim(return_contrast_sensitivity=True).mean()
        else:
            factor = ssim(return_full_image=True)[..., 5:-5, 5:-5].mean()
        product *= max(float(factor), 0.0) ** beta
    return product


def make():
    rng = np.random.default_rng(61)
    positive = rng.random(400) < 0.2
    # one digit, so that many are equal
    scores = np.round(rng.normal(size=400) + positive, 1).astype(np.float32)
    assert len(np.unique(scores)) < 80
    # Correlated features; the generated ones are narrower and off to one side.
    mix = rng.normal(size=(12, 12)) / 3
    real = (rng.normal(size=(180, 12)) @ mix).astype(np.float32)
    generated = (rng.normal(size=(150, 12)) @ mix * 0.8 + 0.25).astype(np.float32)
    # fewer than dimensions: a singular covariance
    few = (rng.normal(size=(9, 12)) @ mix).astype(np.float32)
    a, b, c = (f.astype(np.float64) for f in (real, generated, few))
    distances, indices = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(a).kneighbors(b)
    large, small = images(rng, 176), images(rng, 128)
    folder = fresh("metrics")
    tensors = {"scores": scores, "positive": positive.astype(np.uint8), "real": real, "generated": generated, "few": few}
    tensors |= {"images_128": small, "images_176": large, "nearest": indices[:, 0].astype(np.int64)}
    write_case(folder, {key: torch.from_numpy(value) for key, value in tensors.items()}, {})
    prdc = compute_prdc(real_features=a, fake_features=b, nearest_k=NEAREST_K)
    write_json(
        folder / "metrics.json",
        {
            "auroc": float(roc_auc_score(positive, scores)),
            "frechet": frechet(a, b),
            "frechet_few": frechet(a, c, regular=False),
            "prdc": {key: float(value) for key, value in prdc.items()},
            "nearest_distances": [float(d) for d in distances[:, 0]],
            "ms_ssim_128": [ms_ssim(small[0], other, 4) for other in small],
            "ms_ssim_176": [ms_ssim(large[0], other, 5) for other in large],
        },
    )


if __name__ == "__main__":
    make()
