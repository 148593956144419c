"""torch.ops.attend.* on a CUDA device: every op falls to its composition there, says so, and agrees with the fused CPU path.

Skipped where torch sees no CUDA device. The same inputs go through the op on both devices in double; outputs, weights and every
gradient must agree to rounding. Dropout and sampled choices come from a counter and a seed, not from a device's generator, so
they too must be the same on both."""
import os

import pytest
import torch

torch.ops.load_library(os.environ["ATTEND_LIBRARY"])
ops = torch.ops.attend

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")


def leaf(*size, seed=0, scale=1.0):
    return scale * torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def qkv(heads=4, key_heads=2, queries=5, keys=6, width=8):
    return [leaf(2, heads, queries, width), leaf(2, key_heads, keys, width, seed=1), leaf(2, key_heads, keys, width, seed=2)]


def bqkv(queries=5, keys=6, width=8):
    return [leaf(2, queries, width), leaf(2, keys, width, seed=1), leaf(2, keys, width, seed=2)]


LENGTHS = torch.tensor([6, 4])
RECURRENT = {"lengths": torch.tensor([5, 2, 4])}


def gates(count, inputs=6, hidden=7):
    return [leaf(3, 5, inputs), leaf(count * hidden, inputs, seed=1, scale=0.3), leaf(count * hidden, hidden, seed=2, scale=0.3),
            leaf(count * hidden, seed=3)]


# op → (differentiable tensors, the other positional arguments, options)
CASES = {
    "sdpa": (ops.sdpa, qkv(), [], {"need_weights": True}),
    "sdpa causal": (ops.sdpa, qkv(), [], {"causal": True, "need_weights": True}),
    "sdpa lengths and window": (ops.sdpa, qkv(), [], {"key_lengths": LENGTHS, "window_left": 2, "need_weights": True}),
    "sdpa mask": (ops.sdpa, qkv(), [], {"mask": leaf(2, 1, 5, 6, seed=4) > 0}),
    "sdpa dropout": (ops.sdpa, qkv(), [], {"dropout": 0.3, "seed": 7, "need_weights": True}),
    "additive": (ops.additive, [*bqkv(), leaf(8, seed=3)], [], {"key_lengths": LENGTHS, "need_weights": True}),
    "multiplicative dot": (ops.multiplicative, bqkv(), ["dot"], {"need_weights": True}),
    "multiplicative cosine": (ops.multiplicative, bqkv(), ["cosine"], {"need_weights": True}),
    "local": (ops.local, [*bqkv(), leaf(2, 5, seed=3).abs()], [], {"window": 2, "key_lengths": LENGTHS, "need_weights": True}),
    "attend_scores": (ops.attend_scores, [leaf(2, 5, 6), leaf(2, 6, 8, seed=1)], [], {"dropout": 0.2, "seed": 3, "need_weights": True}),
    "pool": (ops.pool, [leaf(3, 5, 7), leaf(7, seed=1)], [], {"bias": leaf(5, seed=2), **RECURRENT}),
    "lstm": (ops.lstm, gates(4), [], RECURRENT),
    "lstm reversed": (ops.lstm, gates(4), [], {**RECURRENT, "reverse": True}),
    "gru": (ops.gru, gates(3), [], {"bias_hh": leaf(21, seed=4), **RECURRENT}),
    "linear": (ops.linear, [leaf(4, 6), leaf(7, 6, seed=1), leaf(7, seed=2)], [], {"activation": "gelu"}),
    "filterbank_read": (ops.filterbank_read, [leaf(2, 1, 9, 8), leaf(2, 5, seed=1, scale=0.3)], [4], {}),
    "filterbank_write": (ops.filterbank_write, [leaf(2, 1, 4, 4), leaf(2, 5, seed=1, scale=0.3)], [9, 8], {}),
    "vocabulary_loss": (ops.vocabulary_loss, [leaf(6, 5), leaf(11, 5, seed=1)], [torch.tensor([1, 10, 0, -100, 3, 3])],
                        {"label_smoothing": 0.1}),
    "sparsemax": (ops.sparsemax, qkv(), [], {"key_lengths": LENGTHS, "dropout": 0.2, "seed": 4, "need_weights": True}),
    "hard": (ops.hard, [leaf(2, 5, 6), leaf(2, 6, 8, seed=1)], [], {"seed": 5, "need_weights": True}),
}


def moved(given, device):
    return given.to(device) if isinstance(given, torch.Tensor) else given


def run(case, device, dtype=torch.double):
    """Outputs, and the gradient of a fixed weighting of them by every differentiable input, on the CPU."""
    op, inputs, others, options = CASES[case]
    inputs = [t.to(device, dtype).requires_grad_() for t in inputs]
    cast = lambda t: t.to(dtype) if isinstance(t, torch.Tensor) and t.is_floating_point() else t
    out = op(*inputs, *[moved(o, device) for o in others], **{k: moved(cast(v), device) for k, v in options.items()})
    out = out if isinstance(out, tuple) else (out,)
    assert all(t.device.type == device for t in out)
    total = sum((t * leaf(*t.shape, seed=20 + i).to(device, dtype)).sum() for i, t in enumerate(out) if t.requires_grad)
    grads = torch.autograd.grad(total, inputs, allow_unused=True)
    return [t.detach().cpu() for t in out], [None if g is None else g.cpu() for g in grads]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype,tolerance", [(torch.double, 1e-11), (torch.float, 2e-4)])
def test_agrees_with_the_cpu(case, dtype, tolerance):
    (out, grads), (want, want_grads) = run(case, "cuda", dtype), run(case, "cpu", dtype)
    assert len(out) == len(want)
    for a, b in zip(out + grads, want + want_grads):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def test_tensors_on_two_devices_are_refused():
    q, k, v = qkv()
    with pytest.raises(RuntimeError, match="attend::sdpa.*key is on cpu but query is on cuda:0"):
        ops.sdpa(q.cuda(), k, v)


def test_a_row_that_sees_nothing_is_zero():
    q, k, v = [t.cuda().requires_grad_() for t in qkv()]
    output = ops.sdpa(q, k, v, key_lengths=torch.tensor([0, 6], device="cuda"))[0]
    assert output[0].abs().max() == 0
    assert all(torch.isfinite(g).all() and g[0].abs().max() == 0 for g in torch.autograd.grad(output.sum(), (q, k, v)))


def test_half_and_bfloat16():
    for dtype in (torch.half, torch.bfloat16):
        q, k, v = qkv()
        out = ops.sdpa(*[t.to("cuda", dtype) for t in (q, k, v)])[0]
        assert out.dtype == dtype
        torch.testing.assert_close(out.cpu().double(), ops.sdpa(q, k, v)[0], rtol=0, atol=2e-2)


def test_gradcheck_and_second_derivatives():
    given = [t.cuda().requires_grad_() for t in qkv(heads=2, key_heads=1, queries=2, keys=3, width=2)]
    f = lambda q, k, v: ops.sdpa(q, k, v)[0]
    assert torch.autograd.gradcheck(f, given) and torch.autograd.gradgradcheck(f, given)
