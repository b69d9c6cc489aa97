"""How a device computes the networks quickest: in which precision, and how many images at a time."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def fast_precision(device: torch.device) -> torch.dtype:
    """bfloat16 where the device has instructions for it, else float32.

    A CPU without them computes bfloat16 all the same, but converts as it goes: with AVX2 alone the classifier's widest
    convolution reaches an eighth of its rate in float32. A CPU that has them is asked through oneDNN as well, which may
    be told to leave them (ONEDNN_MAX_CPU_ISA=AVX2): how a machine with AVX2 alone is tried on another one.
    """
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_bfloat16 = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        fast = has_bfloat16 and _onednn_may_use_bfloat16()
    return torch.bfloat16 if fast else torch.float32


def _onednn_may_use_bfloat16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def images_at_a_time(device: torch.device) -> int:
    """Enough to keep a device busy: a CPU's cache holds few, a GPU wants many."""
    return 32 if device.type == "cuda" else 8


def mixed_precision(device: torch.device) -> torch.autocast:
    """The context in which a float32 network computes quickest: automatic mixed precision where bfloat16 is fast."""
    return torch.autocast(device.type, torch.bfloat16, enabled=fast_precision(device) == torch.bfloat16)


@contextmanager
def exact_float32() -> Iterator[None]:
    """The context in which a GPU's float32 convolutions keep float32, and come out the same each time.

    Left to itself a GPU rounds their operands to ten bits of mantissa (TF32).
    """
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield
