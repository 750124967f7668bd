"""Agents: who learns, and the command lines."""

import os

# Before torch is imported: passive threads survive a busy neighbour (2.7 -> 10.3 updates/s, docs/design.md).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
