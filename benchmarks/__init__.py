"""Speed and memory, always as a ratio to a peer or a limit in the same run."""

import agents  # noqa: F401  # passive threads, before torch is imported
