"""The picture of a matrix of cosines, as figure 2 of Lyle et al. 2023 (arXiv:2303.01486): red +1, white 0, blue -1."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np


def draw(path: Path, matrices: Mapping[str, np.ndarray]) -> Path:
    """{title: [m, m]} side by side, in the order of their rows; `path` ends in .png."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    count = max(1, len(matrices))
    figure, axes = plt.subplots(1, count, squeeze=False, figsize=(3.4 * count + 0.8, 3.6), layout="constrained")
    for axis, (title, matrix) in zip(axes[0], matrices.items(), strict=False):
        image = axis.imshow(matrix.astype(np.float32), cmap="RdBu_r", vmin=-1, vmax=1, interpolation="nearest")
        axis.set_title(f"{title}, {len(matrix)} states", fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
    if matrices:
        figure.colorbar(image, ax=axes[0].tolist(), shrink=0.8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
