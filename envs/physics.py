"""MuJoCo's model and data (Todorov et al. 2012, IROS), saved so that the next step is the same to the last bit.

mj_getState is not enough (3.17.0): some rewards compare with positions that a step leaves behind by design, so Ant's
first reward after a resume is wrong, and dm_control observes sensors as its last step computed them. So every array of
MjData is put back as well, after mj_forward has made the contacts and constraints anew: these lie in an arena, change
their sizes, and are functions of the state. Some tasks edit their MjModel at the start of an episode; what differs from
the model as it was made is saved too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mujoco
import numpy as np

INTEGRATION = int(mujoco.mjtState.mjSTATE_INTEGRATION)
ASSETS = ("tex_", "mesh_", "skin_", "bvh_")  # compiled from files, never edited: of dog's 72.8 MB all but 0.3
FLAGS = ("flg_energypos", "flg_energyvel", "flg_subtreevel", "flg_rnepost")  # what the last step has computed


class Physics:
    """One simulation: a mujoco.MjModel as it was made, and its mujoco.MjData."""

    def __init__(self, model: Any, data: Any) -> None:
        self._model, self._data = model, data
        blank = mujoco.MjData(model)  # its arena is empty: what should lie there is shown as memory of numpy's own
        self._names = [name for name, array in _arrays(blank) if array.size and not array.flags.owndata]
        self._born = {name: array.copy() for name, array in _arrays(model) if not name.startswith(ASSETS)}

    def state_dict(self) -> dict[str, Any]:
        integration = np.empty(mujoco.mj_stateSize(self._model, INTEGRATION))
        mujoco.mj_getState(self._model, self._data, integration, INTEGRATION)
        return {
            "integration": integration,
            "arrays": {name: getattr(self._data, name).copy() for name in self._names},
            "flags": {name: bool(getattr(self._data, name)) for name in FLAGS},
            "edits": {name: array.copy() for name, array in self._edits()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, _ in list(self._edits()):
            getattr(self._model, name)[...] = self._born[name]
        for name, array in state["edits"].items():
            getattr(self._model, name)[...] = array
        mujoco.mj_setState(self._model, self._data, state["integration"], INTEGRATION)
        mujoco.mj_forward(self._model, self._data)
        for name, array in state["arrays"].items():
            getattr(self._data, name)[...] = array
        for name, flag in state["flags"].items():
            setattr(self._data, name, flag)

    def _edits(self) -> Iterator[tuple[str, np.ndarray]]:
        """The model's arrays that are no longer what they were when it was made."""
        for name, born in self._born.items():
            if not np.array_equal(array := getattr(self._model, name), born):
                yield name, array


@contextmanager
def hushed() -> Iterator[None]:
    """A deprecated attribute in both half cheetahs makes MuJoCo print a warning and leave MUJOCO_LOG.TXT behind."""
    before = mujoco.get_mju_user_warning()
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(before)


def _arrays(struct: Any) -> Iterator[tuple[str, np.ndarray]]:
    for name in dir(struct):
        if not name.startswith("_") and isinstance(array := getattr(struct, name, None), np.ndarray):
            yield name, array
