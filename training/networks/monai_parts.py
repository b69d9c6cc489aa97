"""What training uses of MONAI, without the graph's engine beside it.

`import monai` imports every package below it. Where the App SDK is installed, that is `monai.deploy` too, which loads
Holoscan: seconds of each start, and a warning of the stack size that holds for graphs alone.
"""

import sys

_SDK = "monai.deploy"
_is_hidden = _SDK not in sys.modules
if _is_hidden:
    sys.modules[_SDK] = None  # type: ignore[assignment]  # makes its import fail, which MONAI passes over
try:
    from monai.metrics import compute_hausdorff_distance
    from monai.networks.nets.resnet import ResNet
finally:
    if _is_hidden:
        del sys.modules[_SDK]

__all__ = ["ResNet", "compute_hausdorff_distance"]
