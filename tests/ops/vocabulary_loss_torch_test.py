"""torch.ops.attend.vocabulary_loss: torch's own checks pass on it, and it equals torch.nn.functional.cross_entropy."""
import os

import pytest
import torch
from torch.nn.functional import cross_entropy, linear

torch.ops.load_library(os.environ["ATTEND_LIBRARY"])
loss = torch.ops.attend.vocabulary_loss


def leaf(*size, seed=0, dtype=torch.double, grad=True):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*size, generator=g, dtype=torch.double).to(dtype).requires_grad_(grad)


def arguments(dtype=torch.double, grad=True):
    target = torch.tensor([1, 4, 4, 0, 6, 4])
    return leaf(6, 5, dtype=dtype, grad=grad), leaf(7, 5, seed=1, dtype=dtype, grad=grad), target


CASES = {
    "plain": {},
    "bias": {"bias": 2},
    "smoothed": {"bias": 2, "label_smoothing": 0.1},
    "ignored": {"label_smoothing": 0.2, "ignore_index": 4},
    "sum": {"reduction": "sum", "ignore_index": 4},
    "none": {"bias": 2, "label_smoothing": 0.1, "reduction": "none", "ignore_index": 4},
}


def options(case, dtype=torch.double, grad=True):
    o = dict(CASES[case])
    if "bias" in o:
        o["bias"] = leaf(7, seed=o["bias"], dtype=dtype, grad=grad)
    return o


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", [torch.float, torch.double])
@pytest.mark.parametrize("grad", [True, False])
def test_opcheck(case, dtype, grad):
    torch.library.opcheck(loss.default, arguments(dtype, grad), options(case, dtype, grad))


@pytest.mark.parametrize("case", CASES)
def test_gradcheck(case):
    x, w, target = arguments()
    o = options(case)
    bias = o.pop("bias", None)
    inputs = [x, w] + ([bias] if bias is not None else [])

    def f(x, w, b=None):
        return loss(x, w, target, bias=b, **o)

    assert torch.autograd.gradcheck(f, inputs)
    assert torch.autograd.gradgradcheck(f, inputs)


@pytest.mark.parametrize("case", CASES)
def test_is_torchs_cross_entropy(case):
    x, w, target = arguments()
    o = options(case)
    bias = o.pop("bias", None)
    inputs = [x, w] + ([bias] if bias is not None else [])
    ours, theirs = loss(x, w, target, bias=bias, **o), cross_entropy(linear(x, w, bias), target, **o)
    torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-14)
    for a, b in zip(torch.autograd.grad(ours.sum(), inputs), torch.autograd.grad(theirs.sum(), inputs)):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-14)


def test_no_row_counts():
    x, w, _ = arguments()
    value = loss(x, w, torch.full((6,), -100))
    assert value.item() == 0   # torch: NaN
    assert not torch.autograd.grad(value, x)[0].any()


def test_training_op_opcheck():
    x, w, target = arguments(grad=False)
    torch.library.opcheck(torch.ops.attend.vocabulary_loss_training.default,
                          (x, w, target, None, 0.1, -100, "none", leaf(6, seed=3, grad=False), [True, True, False]))


def test_log_probabilities():
    x, w, _ = arguments()
    b = leaf(7, seed=2)
    torch.testing.assert_close(torch.ops.attend.vocabulary_log_probabilities(x, w, b), linear(x, w, b).log_softmax(1))
    torch.library.opcheck(torch.ops.attend.vocabulary_log_probabilities.default, (x, w, b))


def test_says_what_is_wrong():
    x, w, target = arguments()
    with pytest.raises(RuntimeError, match=r"target\[1\] is 7 but must be in \[0, V=7\) or ignore_index=-100"):
        loss(x, w, torch.tensor([0, 7, 0, 0, 0, 0]))
    with pytest.raises(RuntimeError, match=r"reduction is 'average' but must be 'mean', 'sum' or 'none'"):
        loss(x, w, target, reduction="average")


def test_on_meta():
    x, w, t = torch.empty(6, 5, device="meta"), torch.empty(7, 5, device="meta"), torch.empty(6, dtype=torch.long, device="meta")
    assert loss(x, w, t).shape == () and loss(x, w, t, reduction="none").shape == (6,)
