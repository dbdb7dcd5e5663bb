"""Device and number format."""

import pytest

from shared.device import pick_device
from shared.errors import SystemStateError, UsageError


def test_precision_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALIGN_DEVICE", "cpu")
    assert not pick_device("float32").autocast_bf16
    assert pick_device("bf16").autocast_bf16
    monkeypatch.setattr("shared.device._cpu_bf16_flag", lambda: None)
    assert not pick_device("auto").autocast_bf16
    monkeypatch.setattr("shared.device._cpu_bf16_flag", lambda: "amx_bf16")
    choice = pick_device("auto")
    assert (choice.device, choice.autocast_bf16) == ("cpu", True)
    assert "amx_bf16" in choice.description


def test_autocast_runs_matrix_products_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setenv("VALIGN_DEVICE", "cpu")
    for precision, dtype in (("bf16", torch.bfloat16), ("float32", torch.float32)):
        with pick_device(precision).autocast():
            assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_unknown_names_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="precision"):
        pick_device("fp8")
    monkeypatch.setenv("VALIGN_DEVICE", "tpu")
    with pytest.raises(UsageError, match="VALIGN_DEVICE"):
        pick_device()


def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("VALIGN_DEVICE", "cuda")
    with pytest.raises(SystemStateError, match="no CUDA device"):
        pick_device()
