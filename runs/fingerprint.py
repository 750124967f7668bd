"""What bitwise equality needs (torch's reproducibility notes; docs/reliability.md), and where a run came from."""

import hashlib
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

EXACT = ("torch", "numpy", "ale-py", "mujoco", "dm-control", "gymnasium", "opencv-python-headless")
PACKAGES = (*EXACT, "dm-env", "safetensors", "zstandard", "tensorboard", "tyro")
ROOT = Path(__file__).resolve().parent.parent
VARIABLES = ("OPENBLAS_CORETYPE", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA")


def fingerprint(device: str = "cpu") -> dict[str, str]:
    """Two runs with equal fingerprints and equal settings are equal to the last bit."""
    return {
        "source": source(ROOT),
        "python": platform.python_version(),
        **versions(EXACT),
        "machine": platform.machine(),
        "processor": _processor(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
        "matmul": torch.get_float32_matmul_precision(),
        "deterministic": str(torch.are_deterministic_algorithms_enabled()),
        **{name: os.environ.get(name, "") for name in VARIABLES},
        "device": device if torch.device(device).type != "cuda" else _gpu(device),
    }


def differences(a: Mapping[str, str], b: Mapping[str, str]) -> list[str]:
    """One sentence for each key of `a`, the checkpoint's fingerprint, in which `b`, ours, differs; a key that is
    younger than the checkpoint is not compared."""
    keys = [key for key in a if a[key] != b.get(key, "")]
    return [f"{key} was {a[key] or 'unset'}, is {b.get(key, '') or 'unset'}" for key in keys]


def versions(names: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    return {name: _version(name) for name in names}


@cache
def source(root: Path) -> str:
    """The commit, and a hash of what was changed since: b568a32+1f0c9d2; "" where `root` is not a repository's own
    directory, as after an installation. As it was when first asked, which is when the code was read."""
    above, _, commit = _git(root, "rev-parse", "--show-cdup", "HEAD").partition("\n")
    if above or not commit:
        return ""
    diff = _git(root, "diff", "HEAD")
    return commit[:7] + (f"+{hashlib.sha256(diff.encode()).hexdigest()[:7]}" if diff else "")


def provenance(root: Path) -> dict[str, Any]:
    """The commit, what was changed since, the command line and the versions; for people, not for resuming."""
    return {
        "commit": _git(root, "rev-parse", "HEAD").strip(),
        "diff": _git(root, "diff", "HEAD"),
        "command": shlex.join([sys.executable, *sys.orig_argv[1:]]),
        "python": platform.python_version(),
        "versions": versions(),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    """The CPU's model: BLAS chooses its kernels by it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _gpu(device: str) -> str:
    cuda, cudnn = torch.version.cuda, torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return f"{torch.cuda.get_device_name(device)}, CUDA {cuda}, cuDNN {cudnn}"


def _git(root: Path, *arguments: str) -> str:
    """The output of git, or nothing where there is no git or no repository."""
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace")
