"""Every test runs on one thread: the widths are 8 to 32."""

import torch

import agents  # noqa: F401  (environment variables before anything else)

torch.set_num_threads(1)
