"""Which device a model runs on, and in which number format.

Master weights are always float32; where the device multiplies bfloat16 matrices fast, the forward and backward
passes run under bf16 autocast. (AdamW on bf16 weights loses most updates at the learning rates of preference
optimisation, so bf16 weights are never trained.)
"""

import os
import platform
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from shared.errors import SystemStateError, UsageError

Precision = Literal["auto", "float32", "bf16"]
PRECISIONS = ("auto", "float32", "bf16")
DEVICES = ("cpu", "cuda", "mps")


@dataclass(frozen=True, slots=True)
class DeviceChoice:
    """Where to compute.

    Attributes:
        device: ``cpu``, ``cuda`` or ``mps``.
        autocast_bf16: whether forward and backward run under bf16 autocast.
        description: for people: ``CPU, bf16 autocast (avx512_bf16)``.
    """

    device: str
    autocast_bf16: bool
    description: str

    def autocast(self) -> AbstractContextManager[object]:
        """The context in which forward passes run."""
        import torch

        return torch.autocast(self.device, dtype=torch.bfloat16) if self.autocast_bf16 else nullcontext()


@lru_cache(maxsize=1)
def _cpu_bf16_flag() -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    flags: set[str] = set()
    for line in text.splitlines():
        if line.startswith(("flags", "Features")):
            flags = set(line.partition(":")[2].split())
            break
    # On ARM the flag is `bf16`; on x86 AVX512-BF16 or AMX. Without one of them bf16 is emulated and slower.
    return next((flag for flag in ("amx_bf16", "avx512_bf16", "bf16") if flag in flags), None)


def _may_have_cuda() -> bool:
    """Whether asking torch for CUDA can succeed; saves importing torch for a run that only looks up the store."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    return any(Path(place).exists() for place in ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd"))


def _pick_name() -> str:
    wanted = os.environ.get("VALIGN_DEVICE", "").strip().lower()
    if wanted and wanted not in DEVICES:
        raise UsageError(f"VALIGN_DEVICE={wanted} names no device: set it to one of {', '.join(DEVICES)}.")
    if wanted == "cpu":
        return "cpu"
    if wanted == "cuda" or (not wanted and _may_have_cuda()):
        import torch

        if torch.cuda.is_available():
            return "cuda"
        if wanted:
            raise SystemStateError("VALIGN_DEVICE=cuda, but torch sees no CUDA device: unset it or mend the driver.")
    if wanted == "mps" or (not wanted and platform.system() == "Darwin"):
        import torch

        if torch.backends.mps.is_available():
            return "mps"
        if wanted:
            raise SystemStateError("VALIGN_DEVICE=mps, but torch sees no such device: unset it.")
    return "cpu"


def pick_device(precision: str = "auto") -> DeviceChoice:
    """The device of this machine and its number format.

    Args:
        precision: ``auto`` (bf16 autocast where the device is fast in it), ``float32`` or ``bf16``.

    Returns:
        The choice. The environment variable VALIGN_DEVICE (cpu, cuda, mps) overrides the device.

    Raises:
        UsageError: for an unknown precision or device name.
        SystemStateError: where VALIGN_DEVICE names a device that is not there.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision: {precision} is unknown; use one of {', '.join(PRECISIONS)}.")
    device = _pick_name()
    if device == "cuda":
        import torch

        name = torch.cuda.get_device_name(0)
        fast, reason = torch.cuda.get_device_capability(0) >= (8, 0), name
        label = "CUDA"
    elif device == "mps":
        fast, reason, label = False, platform.processor() or "Apple", "MPS"
    else:
        flag = _cpu_bf16_flag()
        fast, reason, label = flag is not None, flag or "no bf16 instructions", "CPU"
    bf16 = fast if precision == "auto" else precision == "bf16"
    kind = "bf16 autocast" if bf16 else "float32"
    return DeviceChoice(device, bf16, f"{label}, {kind} ({reason})")
