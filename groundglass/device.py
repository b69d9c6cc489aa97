"""The device that computes: the processor, or a graphics processor."""

from typing import Literal


class DeviceError(Exception):
    """The machine lacks the device that the settings ask for."""


def choose_device(setting: str) -> Literal["cpu", "cuda"]:
    """The device that computes: `cpu` or `cuda`.

    Args:
        setting: `cpu`; `cuda`, which insists on a GPU; or `auto`, which takes one where there is one.

    Raises:
        DeviceError: `cuda` on a machine where PyTorch finds no GPU, or another setting than these three.
    """
    if setting not in ("auto", "cpu", "cuda"):
        raise DeviceError(f"The device setting is {setting!r}: it must be 'auto', 'cpu' or 'cuda'.")
    if setting == "cpu":
        return "cpu"

    import torch  # takes a second to import: not before it is needed

    if torch.cuda.is_available():
        return "cuda"
    if setting == "cuda":
        build = "is built without CUDA" if torch.version.cuda is None else f"is built for CUDA {torch.version.cuda}"
        raise DeviceError(
            f"The device setting is 'cuda', but PyTorch finds no usable GPU (this PyTorch {build}). Check the driver "
            "with nvidia-smi and that the GPU is passed to the container, or set the device to 'auto' or 'cpu'."
        )
    return "cpu"
