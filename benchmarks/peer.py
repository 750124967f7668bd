"""Runs a script written for gymnasium 0.29 under the gymnasium installed: python -m benchmarks.peer PATH FLAGS."""

import runpy
import sys
from pathlib import Path
from typing import Any

import ale_py
import gymnasium

RENAMED = {"GrayScaleObservation": "GrayscaleObservation", "FrameStack": "FrameStackObservation"}


def main(path: Path) -> None:
    gymnasium.register_envs(ale_py)
    wrappers: Any = gymnasium.wrappers
    for old, new in RENAMED.items():
        setattr(wrappers, old, getattr(wrappers, new))
    sys.path.insert(0, str(path.parent.parent))
    runpy.run_path(str(path), run_name="__main__")


if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    main(Path(sys.argv[0]))
