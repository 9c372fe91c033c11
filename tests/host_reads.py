"""Count what is read back from a tensor: a GPU would have to be waited for."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class HostReads(TorchDispatchMode):
    """Count how often a number of a tensor is asked for.

    ``with HostReads() as reads: ...`` and then ``reads.count``.
    """

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))
