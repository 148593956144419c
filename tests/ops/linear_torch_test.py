"""torch.ops.attend.linear: torch's own checks pass on it (opcheck, gradcheck, gradgradcheck), and it equals torch's linear."""
import os

import pytest
import torch
from torch.nn import functional

torch.ops.load_library(os.environ["ATTEND_LIBRARY"])

ACTIVATIONS = {"none": lambda x: x, "relu": torch.relu, "gelu": functional.gelu,
               "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh")}
ROWS = {"few rows": (3, 5), "many rows": (6, 9)}


def leaves(rows, dtype=torch.double, bias=True):
    g = torch.Generator().manual_seed(1)
    make = lambda *size: torch.randn(*size, generator=g, dtype=torch.double).to(dtype).requires_grad_()  # noqa: E731
    return make(*ROWS[rows], 4), make(5, 4), make(5) if bias else None


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", [True, False])
def test_opcheck(rows, activation, bias):
    torch.library.opcheck(torch.ops.attend.linear.default, leaves(rows, torch.float, bias), {"activation": activation})


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradcheck(rows, activation):
    f = lambda *x: torch.ops.attend.linear(*x, activation=activation)  # noqa: E731
    assert torch.autograd.gradcheck(f, leaves(rows))
    assert torch.autograd.gradgradcheck(f, leaves(rows))


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_value(rows, activation):
    x, w, b = leaves(rows)
    torch.testing.assert_close(torch.ops.attend.linear(x, w, b, activation=activation), ACTIVATIONS[activation](functional.linear(x, w, b)),
                               rtol=1e-13, atol=1e-13)


def test_unknown_activation():
    with pytest.raises(RuntimeError, match="must be none, relu, gelu or gelu_tanh"):
        torch.ops.attend.linear(*leaves("few rows"), activation="swish")
