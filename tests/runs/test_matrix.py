import numpy as np
from matplotlib.image import imread

from runs.matrix import draw


def test_every_matrix_is_drawn_in_the_colours_of_its_cosines(tmp_path):
    blocks = np.kron(np.array([[1, -1], [-1, 1]]), np.ones((8, 8))).astype(np.float16)
    picture = imread(draw(tmp_path / "gradients.png", {"noise q": blocks, "loss q": np.eye(8)}))
    red, blue = ((picture[..., i] - picture[..., 2 - i]) > 0.25 for i in (0, 2))
    assert red.mean() > 0.05 and blue.mean() > 0.05


def test_no_matrix_is_no_error(tmp_path):
    assert draw(tmp_path / "none.png", {}).exists()
