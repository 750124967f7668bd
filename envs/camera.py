"""Pictures of a MuJoCo simulation (Todorov et al. 2012, IROS) without a display, equal to dm_control's to the last bit.

dm_control chooses its renderer when it is imported, for the whole process; here OpenGL is asked for with the first
camera, so that states need none. EGL (libEGL.so.1: a GPU, or Mesa on the CPU) comes before OSMesa (libOSMesa.so.8);
MUJOCO_GL=egl, osmesa or glfw chooses. On the CPU both are Mesa's llvmpipe: the same bytes, 13 ms for 84x84 pixels.
"""

import atexit
import ctypes
import os
import sys
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np

from envs.suite import rendering

with rendering("disable"):  # MuJoCo's import then looks for no display, and a broken one is `screen`'s to tell
    import mujoco

LIBRARIES = {"egl": "libEGL.so.1", "osmesa": "libOSMesa.so.8"}  # in the order of preference
PACKAGES = {"egl": "libegl1 libopengl0 libgl1-mesa-dri", "osmesa": "libosmesa6", "glfw": "libglfw3"}
GEOMS = 1000  # that a scene has room for, as dm_control
CONTEXTS: dict[tuple[str, int], mujoco.MjrContext] = {}  # textures and buffers, which games of one task share


class Camera:
    """One of a model's cameras: square pictures [size, size, 3] uint8. A picture is a function of model and data."""

    def __init__(self, name: str, model: mujoco.MjModel, data: mujoco.MjData, number: int, size: int) -> None:
        """name: of the model; two models of one name have the same textures and meshes."""
        if not 0 <= number < model.ncam:
            raise ValueError(f"camera {number}: {name} has cameras 0 to {model.ncam - 1}")
        screen()
        self.key, self.model, self.data = (name, size), model, data
        self.scene, self.option, self.perturb = mujoco.MjvScene(model, GEOMS), mujoco.MjvOption(), mujoco.MjvPerturb()
        self.view = mujoco.MjvCamera()
        self.view.type, self.view.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, number
        self.frame = mujoco.MjrRect(0, 0, size, size)
        self.pixels = np.zeros((size, size, 3), np.uint8)

    def picture(self) -> np.ndarray:
        """Valid until the next one."""
        screen().make_current()
        context = self.context()
        for field in range(self.model.nhfield):  # a terrain that a task has drawn anew
            mujoco.mjr_uploadHField(self.model, context, field)
        parts = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self.model, self.data, self.option, self.perturb, self.view, parts, self.scene)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, context)
        mujoco.mjr_render(self.frame, self.scene, context)
        mujoco.mjr_readPixels(self.pixels, None, self.frame, context)
        return self.pixels[::-1]  # OpenGL begins at the bottom

    def context(self) -> mujoco.MjrContext:
        """Made with the first picture of its kind: 0.2 s and some 50 MB."""
        if self.key not in CONTEXTS:
            globe = self.model.vis.global_
            globe.offwidth = globe.offheight = self.key[1]  # of the buffer, 640x480 by default
            with rendering(backend()):
                CONTEXTS[self.key] = mujoco.MjrContext(self.model, mujoco.mjtFontScale.mjFONTSCALE_150)
        return CONTEXTS[self.key]


def backend() -> str:
    """egl, osmesa or glfw: as MUJOCO_GL says, else the first whose library is here."""
    chosen = os.environ.get("MUJOCO_GL", "").lower()
    if chosen in PACKAGES:
        return chosen
    if chosen:
        raise ValueError(f"MUJOCO_GL is {chosen}, which draws no pictures; unset it, or set it to egl or osmesa")
    for name, library in LIBRARIES.items():
        if loads(library):
            return name
    raise ValueError(
        f"pictures of dm_control need OpenGL, and neither EGL nor OSMesa is here: apt-get install {PACKAGES['osmesa']}"
    )


@cache
def screen() -> Any:
    """The OpenGL context of this process."""
    name = backend()
    try:
        made = import_module(f"mujoco.{name}").GLContext(1, 1)
        made.make_current()
    except Exception as error:  # of PyOpenGL, ctypes or the driver: each fails in a way of its own
        said = str(error).strip().rstrip(".") or type(error).__name__
        raise ValueError(
            f"no pictures by {name}: {said}; apt-get install {PACKAGES[name]}, or set MUJOCO_GL to egl or osmesa"
        ) from error
    atexit.register(close)
    return made


def close() -> None:
    """While the modules that know how are still there."""
    CONTEXTS.clear()
    screen.cache_clear()


def loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    try:
        screen()
    except ValueError as error:
        sys.exit(f"{error}; until then agents.drq has no pictures and the tests of them are skipped")
