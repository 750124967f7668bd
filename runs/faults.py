"""Named points at which a test kills the process: PERENNIAL_FAULT=chunk-mid:3 dies at the third."""

import os
import signal

POINTS = (
    "chunk-mid",
    "chunk-before-rename",
    "part",
    "dir-renamed",
    "manifest-mid",
    "manifest-before-rename",
    "manifest-after-rename",
    "gc",
    "saved",
)
_left: dict[str, int] = {}


def arm(text: str) -> None:
    """ "gc:2" kills this process with SIGKILL at the second `gc`; "" disarms."""
    _left.clear()
    if not text:
        return
    name, _, k = text.partition(":")
    if name not in POINTS or not k.isdecimal() or int(k) < 1:
        raise ValueError(f"PERENNIAL_FAULT is {text!r}; write one of {', '.join(POINTS)}, a colon and a number from 1")
    _left[name] = int(k)


def point(name: str) -> None:
    if name not in _left:
        return
    _left[name] -= 1
    if _left[name] == 0:
        os.kill(os.getpid(), signal.SIGKILL)


arm(os.environ.get("PERENNIAL_FAULT", ""))
