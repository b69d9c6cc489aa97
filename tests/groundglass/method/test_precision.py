"""A device without instructions for bfloat16 computes in float32."""

import os
import subprocess
import sys

import pytest
import torch

from groundglass.locations import ROOT
from groundglass.method.precision import fast_precision, mixed_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("avx512_bf16", "amx", "precision"),
    [(False, False, torch.float32), (True, False, torch.bfloat16), (False, True, torch.bfloat16)],
)
def test_bfloat16_only_where_the_cpu_has_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, avx512_bf16: bool, amx: bool, precision: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr("groundglass.method.precision._onednn_may_use_bfloat16", lambda: True)
    assert fast_precision(CPU) == precision
    product = torch.nn.Linear(4, 4)
    with mixed_precision(CPU):
        assert product(torch.ones(1, 4)).dtype == precision


@pytest.mark.slow
def test_a_cpu_that_is_limited_to_avx2_computes_in_float32() -> None:
    code = "import torch, groundglass.method.precision as p; print(p.fast_precision(torch.device('cpu')))"
    limited = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=limited, stdout=subprocess.PIPE, check=True)
    assert done.stdout.split() == [b"torch.float32"]


@pytest.mark.parametrize("supported", [True, False])
def test_a_gpu_that_emulates_bfloat16_computes_in_float32(monkeypatch: pytest.MonkeyPatch, supported: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported or including_emulation)
    assert fast_precision(torch.device("cuda")) == (torch.bfloat16 if supported else torch.float32)
