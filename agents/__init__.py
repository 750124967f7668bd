"""Agents: who learns, and the command lines."""

import contextlib
import ctypes
import os

# Before torch is imported: passive threads survive a busy neighbour (2.7 -> 10.3 updates/s, docs/design.md).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# glibc gives blocks above 32 MB back to the system, which returns them page by page: an update of BBF then takes
# 4.4 s instead of 3.1. Blocks of up to 1 GB stay; a replay is larger, and its pages still come as they are written.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 2**30)
    ctypes.CDLL(None).mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
