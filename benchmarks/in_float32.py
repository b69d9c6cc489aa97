"""Networks without automatic mixed precision, as a user would call them, and as every machine can."""

import torch
from torch import Tensor, nn

from groundglass.method.lung_network import LungUNet


class InFloat32(nn.Module):
    """The network without automatic mixed precision."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        if isinstance(network, LungUNet):
            self.neighbours, self.size_multiple = network.neighbours, network.size_multiple

    def forward(self, planes: Tensor) -> Tensor:
        """As the network's, in float32."""
        with torch.autocast(planes.device.type, enabled=False):
            return self.network(planes.float())
