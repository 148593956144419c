"""torch.ops.attend.*: loading libattend.so gives the ops, and torch's own checks pass on them.

opcheck tests the schema (no undeclared mutation or aliasing), the autograd registration, the FakeTensor (meta) kernel against
real results, and AOT dispatch with static and dynamic shapes. gradcheck compares first and second derivatives with central
differences."""
import os

import pytest
import torch

torch.ops.load_library(os.environ["ATTEND_LIBRARY"])


def leaf(*size, seed=0, dtype=torch.double, grad=True, scale=1.0):
    g = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(*size, generator=g, dtype=torch.double)).to(dtype).requires_grad_(grad)


def pool_reference(value, score_weight, bias=None, lengths=None):
    """The formula, written without this project."""
    a = torch.einsum("btc,c->bt", value, score_weight)
    s = torch.tanh(a if bias is None else a + bias)
    if lengths is not None:
        s = s.masked_fill(torch.arange(value.shape[1]) >= lengths[:, None], float("-inf"))
    alpha = torch.softmax(s, 1)
    return torch.einsum("bt,btc->bc", alpha, value), alpha


POOL_CASES = {
    "plain": lambda dtype: ((leaf(3, 5, 7, dtype=dtype), leaf(7, seed=1, dtype=dtype)), {}),
    "bias": lambda dtype: ((leaf(3, 5, 7, dtype=dtype), leaf(7, seed=1, dtype=dtype)), {"bias": leaf(5, seed=2, dtype=dtype)}),
    "lengths": lambda dtype: ((leaf(3, 5, 7, dtype=dtype), leaf(7, seed=1, dtype=dtype)),
                              {"bias": leaf(5, seed=2, dtype=dtype), "lengths": torch.tensor([5, 1, 3])}),
    "no gradient": lambda dtype: ((leaf(3, 5, 7, dtype=dtype, grad=False), leaf(7, seed=1, dtype=dtype, grad=False)), {}),
    "strided": lambda dtype: ((leaf(5, 3, 7, dtype=dtype, grad=False).transpose(0, 1).requires_grad_(), leaf(7, seed=1, dtype=dtype)), {}),
}


@pytest.mark.parametrize("case", POOL_CASES)
@pytest.mark.parametrize("dtype", [torch.float, torch.double])
def test_pool_opcheck(case, dtype):
    args, kwargs = POOL_CASES[case](dtype)
    torch.library.opcheck(torch.ops.attend.pool.default, args, kwargs)


@pytest.mark.parametrize("case", ["plain", "bias", "lengths", "strided"])
def test_pool_gradcheck(case):
    args, kwargs = POOL_CASES[case](torch.double)
    bias, lengths = kwargs.get("bias"), kwargs.get("lengths")
    inputs = [*args] + ([bias] if bias is not None else [])

    def f(value, weight, b=None):
        return torch.ops.attend.pool(value, weight, bias=b, lengths=lengths)

    assert torch.autograd.gradcheck(f, inputs)
    assert torch.autograd.gradgradcheck(f, inputs)


@pytest.mark.parametrize("case", ["plain", "bias", "lengths", "strided"])
def test_pool_value(case):
    args, kwargs = POOL_CASES[case](torch.double)
    for ours, theirs in zip(torch.ops.attend.pool(*args, **kwargs), pool_reference(*args, **kwargs)):
        torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-14)


def test_pool_says_what_is_wrong():
    with pytest.raises(RuntimeError, match=r"attend::pool: score_weight has C=6 \(shape \[6\]\) but value set C=7"):
        torch.ops.attend.pool(leaf(3, 5, 7), leaf(6))
    with pytest.raises(RuntimeError, match=r"attend::pool: lengths\[1\] is 9 but must be in \[0, T=5\]"):
        torch.ops.attend.pool(leaf(2, 5, 7), leaf(7), lengths=torch.tensor([5, 9]))


def test_pool_on_meta():
    output, weights = torch.ops.attend.pool(torch.empty(3, 5, 7, device="meta"), torch.empty(7, device="meta"))
    assert output.shape == (3, 7) and weights.shape == (3, 5) and output.device.type == "meta"


# --- lstm ------------------------------------------------------------------------------------------------------------

def lstm_arguments(dtype=torch.double, batch=3, time=4, inputs=5, hidden=6, grad=True):
    return (leaf(batch, time, inputs, dtype=dtype, grad=grad),
            leaf(4 * hidden, inputs, seed=1, dtype=dtype, grad=grad, scale=0.4),
            leaf(4 * hidden, hidden, seed=2, dtype=dtype, grad=grad, scale=0.4),
            leaf(4 * hidden, seed=3, dtype=dtype, grad=grad, scale=0.4))


def lstm_options(name, dtype):
    mask = lambda *size: (torch.rand(*size, generator=torch.Generator().manual_seed(9)) < 0.8).to(dtype) / 0.8
    return {
        "plain": {},
        "state": {"h0": leaf(3, 6, seed=4, dtype=dtype), "c0": leaf(3, 6, seed=5, dtype=dtype)},
        "lengths": {"lengths": torch.tensor([4, 0, 2])},
        "masks": {"input_mask": mask(3, 5), "recurrent_mask": mask(3, 6)},
        "reverse": {"reverse": True, "lengths": torch.tensor([4, 1, 2])},
    }[name]


LSTM_CASES = ["plain", "state", "lengths", "masks", "reverse"]


@pytest.mark.parametrize("case", LSTM_CASES)
@pytest.mark.parametrize("dtype", [torch.float, torch.double])
def test_lstm_opcheck(case, dtype):
    torch.library.opcheck(torch.ops.attend.lstm.default, lstm_arguments(dtype), lstm_options(case, dtype))


@pytest.mark.parametrize("case", LSTM_CASES)
def test_lstm_gradcheck(case):
    options = lstm_options(case, torch.double)
    states = [options.pop(k) for k in ("h0", "c0") if k in options]

    def f(x, w_ih, w_hh, b, h0=None, c0=None):
        return torch.ops.attend.lstm(x, w_ih, w_hh, b, h0=h0, c0=c0, **options)

    assert torch.autograd.gradcheck(f, [*lstm_arguments(), *states])


def test_lstm_is_torchs():
    x, w_ih, w_hh, b = lstm_arguments(grad=False)
    theirs = torch.nn.LSTM(5, 6, batch_first=True, dtype=torch.double)
    with torch.no_grad():
        for parameter, given in zip(theirs.parameters(), (w_ih, w_hh, b, torch.zeros_like(b))):
            parameter.copy_(given)
        want, (h, c) = theirs(x)
    output, h_n, c_n = torch.ops.attend.lstm(x, w_ih, w_hh, b)
    torch.testing.assert_close(output, want, rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(h_n, h[0], rtol=1e-12, atol=1e-13)
    torch.testing.assert_close(c_n, c[0], rtol=1e-12, atol=1e-13)
