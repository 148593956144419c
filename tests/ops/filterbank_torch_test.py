"""torch.ops.attend.filterbank_read and filterbank_write: torch's own checks pass on them, and they follow the paper."""
import os

import pytest
import torch

torch.ops.load_library(os.environ["ATTEND_LIBRARY"])
read, write = torch.ops.attend.filterbank_read, torch.ops.attend.filterbank_write


def leaf(*size, seed=0, dtype=torch.double, grad=True, scale=1.0):
    g = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(*size, generator=g, dtype=torch.double)).to(dtype).requires_grad_(grad)


def bank(g, size, longest, log_variance, log_stride, n):
    """Gregor et al. 2015, equations 22 to 26, pixels and filters counted from 1."""
    centre = (size + 1) / 2 * (g + 1)
    stride = (longest - 1) / (n - 1) * torch.exp(log_stride)
    mean = centre[:, None] + (torch.arange(1, n + 1) - n / 2 - 0.5) * stride[:, None]
    f = torch.exp(-(torch.arange(1, size + 1) - mean[:, :, None]) ** 2 / (2 * torch.exp(log_variance)[:, None, None]))
    return f / f.sum(2, keepdim=True)


def banks(window, height, width, n):
    longest = max(height, width)
    columns, rows = (bank(window[:, i], size, longest, window[:, 2], window[:, 3], n) for i, size in ((0, width), (1, height)))
    return rows, columns, torch.exp(window[:, 4])[:, None, None, None]


def read_reference(image, window, n):
    rows, columns, intensity = banks(window, *image.shape[2:], n)
    return intensity * torch.einsum("biy,bcyx,bjx->bcij", rows, image, columns)


def write_reference(patch, window, height, width):
    rows, columns, intensity = banks(window, height, width, patch.shape[2])
    return torch.einsum("biy,bcij,bjx->bcyx", rows, patch, columns) / intensity


READ = {
    "plain": lambda dtype, grad: (leaf(3, 2, 6, 8, dtype=dtype, grad=grad), leaf(3, 5, seed=1, dtype=dtype, grad=grad, scale=0.4), 3),
    "strided": lambda dtype, grad: (leaf(2, 3, 8, 6, dtype=dtype, grad=False).permute(1, 0, 3, 2).requires_grad_(grad),
                                    leaf(3, 5, seed=1, dtype=dtype, grad=grad, scale=0.4), 2),
}
WRITE = {"plain": lambda dtype, grad: (leaf(3, 2, 3, 3, dtype=dtype, grad=grad),
                                       leaf(3, 5, seed=1, dtype=dtype, grad=grad, scale=0.4), 6, 8)}


@pytest.mark.parametrize("op, cases", [(read, READ), (write, WRITE)], ids=["read", "write"])
@pytest.mark.parametrize("dtype", [torch.float, torch.double])
@pytest.mark.parametrize("grad", [True, False])
def test_opcheck(op, cases, dtype, grad):
    for make in cases.values():
        torch.library.opcheck(op.default, make(dtype, grad))


@pytest.mark.parametrize("op, cases", [(read, READ), (write, WRITE)], ids=["read", "write"])
def test_gradcheck(op, cases):
    for make in cases.values():
        first, window, *sizes = make(torch.double, True)
        assert torch.autograd.gradcheck(lambda a, w: op(a, w, *sizes), (first, window))
        assert torch.autograd.gradgradcheck(lambda a, w: op(a, w, *sizes), (first, window))


@pytest.mark.parametrize("op, reference, cases", [(read, read_reference, READ), (write, write_reference, WRITE)],
                         ids=["read", "write"])
def test_follows_the_paper(op, reference, cases):
    for make in cases.values():
        arguments = make(torch.double, True)
        ours, theirs = op(*arguments), reference(*arguments)
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-13)
        for a, b in zip(torch.autograd.grad(ours.square().sum(), arguments[:2]),
                        torch.autograd.grad(theirs.square().sum(), arguments[:2])):
            torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


def test_backward_ops_opcheck():
    image, window, n = READ["plain"](torch.double, False)
    torch.library.opcheck(torch.ops.attend.filterbank_read_backward.default,
                          (leaf(3, 2, n, n, seed=5, grad=False), image, window, n, [True, True]))
    patch, window, height, width = WRITE["plain"](torch.double, False)
    torch.library.opcheck(torch.ops.attend.filterbank_write_backward.default,
                          (leaf(3, 2, height, width, seed=5, grad=False), patch, window, [True, False]))


def test_says_what_is_wrong():
    image, window, n = READ["plain"](torch.double, False)
    with pytest.raises(RuntimeError, match=r"attend::filterbank_read: n is 0 but must be at least 1"):
        read(image, window, 0)
    with pytest.raises(RuntimeError, match=r"attend::filterbank_write: height is -1 but must be at least 1"):
        write(image[:, :, :3, :3], window, -1, 4)


def test_on_meta():
    assert read(torch.empty(2, 3, 8, 9, device="meta"), torch.empty(2, 5, device="meta"), 4).shape == (2, 3, 4, 4)
    assert write(torch.empty(2, 3, 4, 4, device="meta"), torch.empty(2, 5, device="meta"), 8, 9).shape == (2, 3, 8, 9)
