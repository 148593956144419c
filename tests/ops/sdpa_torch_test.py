"""torch.ops.attend.sdpa and what runs as sdpa: torch's own checks (opcheck, gradcheck, gradgradcheck, tracing), and agreement
with torch.nn.functional.scaled_dot_product_attention."""
import os

import pytest
import torch
import torch.nn.functional as F

torch.ops.load_library(os.environ["ATTEND_LIBRARY"])
sdpa = torch.ops.attend.sdpa


def leaf(*size, seed=0, dtype=torch.double, grad=True, scale=1.0):
    g = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(*size, generator=g, dtype=torch.double)).to(dtype).requires_grad_(grad)


def inputs(dtype=torch.double, grad=True, heads=4, key_heads=2, queries=5, keys=6):
    return (leaf(2, heads, queries, 3, dtype=dtype, grad=grad), leaf(2, key_heads, keys, 3, seed=1, dtype=dtype, grad=grad),
            leaf(2, key_heads, keys, 4, seed=2, dtype=dtype, grad=grad))


def mask():
    visible = torch.rand(2, 1, 5, 6, generator=torch.Generator().manual_seed(5)) < 0.7
    visible[0, :, 2] = False       # a query that sees nothing
    visible[..., 3] = False        # a key that nobody sees
    return visible


OPTIONS = {
    "plain": lambda dtype: {},
    "causal": lambda dtype: {"causal": True, "scale": 0.3},
    "first": lambda dtype: {"causal": True, "alignment": "first"},
    "window": lambda dtype: {"window_left": 1, "window_right": 2},
    "lengths": lambda dtype: {"query_lengths": torch.tensor([5, 2]), "key_lengths": torch.tensor([0, 4])},
    "mask": lambda dtype: {"mask": mask(), "need_weights": True},
    "bias": lambda dtype: {"bias": leaf(4, 5, 6, seed=3, dtype=dtype), "need_weights": True},
    "row bias": lambda dtype: {"bias": leaf(2, 1, 1, 6, seed=3, dtype=dtype)},
    "dropout": lambda dtype: {"dropout": 0.4, "seed": 11, "need_weights": True},
    "everything": lambda dtype: {"mask": mask(), "bias": leaf(5, 6, seed=3, dtype=dtype), "causal": True, "window_left": 3,
                                 "key_lengths": torch.tensor([5, 6]), "dropout": 0.2, "seed": 3, "need_weights": True},
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("dtype", [torch.float, torch.double])
def test_opcheck(name, dtype):
    torch.library.opcheck(sdpa.default, inputs(dtype), OPTIONS[name](dtype))


def test_opcheck_without_gradient():
    torch.library.opcheck(sdpa.default, inputs(grad=False), {"need_weights": True})


@pytest.mark.parametrize("name", OPTIONS)
def test_gradcheck(name):
    options = OPTIONS[name](torch.double)
    bias = options.pop("bias", None)

    def f(q, k, v, b=None):
        output, weights = sdpa(q, k, v, bias=b, **options)
        return (output, weights) if options.get("need_weights") else output

    given = [*inputs()] + ([] if bias is None else [bias])
    assert torch.autograd.gradcheck(f, given)
    assert torch.autograd.gradgradcheck(f, given)


@pytest.mark.parametrize("only", [0, 1, 2, 3])
def test_gradient_of_one_input_alone(only):
    given = [*inputs(grad=False), leaf(4, 5, 6, seed=3, grad=False)]
    given[only].requires_grad_()
    assert torch.autograd.gradcheck(lambda q, k, v, b: sdpa(q, k, v, bias=b)[0], given)


def test_gradient_through_the_weights_alone():
    assert torch.autograd.gradcheck(lambda q, k, v: sdpa(q, k, v, need_weights=True)[1], inputs())


@pytest.mark.parametrize("dtype,tolerance", [(torch.float, 2e-6), (torch.double, 1e-14)])
@pytest.mark.parametrize("causal", [False, True])
def test_is_torchs(causal, dtype, tolerance):
    q, k, v = inputs(dtype, key_heads=4, queries=6)
    ours, theirs = sdpa(q, k, v, causal=causal)[0], F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    cotangent = leaf(*ours.shape, seed=9, dtype=dtype, grad=False)
    for a, b in zip(torch.autograd.grad(ours, (q, k, v), cotangent), torch.autograd.grad(theirs, (q, k, v), cotangent)):
        torch.testing.assert_close(a, b, rtol=10 * tolerance, atol=10 * tolerance)


def test_both_alignments_of_causal():
    """torch's is_causal stands at the first key; causal_lower_right of torch.nn.attention.bias at the last."""
    from torch.nn.attention.bias import causal_lower_right
    q, k, v = inputs(grad=False, key_heads=4)
    first = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    last = F.scaled_dot_product_attention(q, k, v, attn_mask=torch.ones(5, 6).tril(1).bool())
    torch.testing.assert_close(F.scaled_dot_product_attention(q, k, v, attn_mask=causal_lower_right(5, 6)), last)
    torch.testing.assert_close(sdpa(q, k, v, causal=True, alignment="first")[0], first)
    torch.testing.assert_close(sdpa(q, k, v, causal=True)[0], last)
    assert not torch.allclose(first, last)


def test_mask_bias_and_groups_are_torchs():
    q, k, v = inputs()
    visible, bias = torch.rand(2, 1, 5, 6, generator=torch.Generator().manual_seed(1)) < 0.8, leaf(4, 5, 6, seed=3)
    visible[..., 0] = True         # torch gives NaN for a row without keys
    theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=visible, enable_gqa=True)
    torch.testing.assert_close(sdpa(q, k, v, mask=visible)[0], theirs)
    ours = sdpa(q, k, v, bias=bias)[0]
    theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.expand(2, 4, 5, 6), enable_gqa=True)
    torch.testing.assert_close(ours, theirs)
    for a, b in zip(torch.autograd.grad(ours.sum(), (q, k, v, bias)), torch.autograd.grad(theirs.sum(), (q, k, v, bias))):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", OPTIONS)
def test_bfloat16(name):
    """Near what double makes of the same rounded inputs: a rounding is 2^-8, and results and weights are rounded."""
    options = OPTIONS[name](torch.bfloat16)
    given = inputs(torch.bfloat16)
    output, weights = sdpa(*given, **options)
    assert output.dtype == weights.dtype == torch.bfloat16
    wide = [t.detach().double().requires_grad_() for t in given]
    if "bias" in options:
        options["bias"] = options["bias"].detach().double()
    want, want_weights = sdpa(*wide, **options)
    near = lambda a, b: (a.double() - b).norm() <= 2**-6 * b.norm()
    assert near(output, want) and (not options.get("need_weights") or near(weights, want_weights))
    cotangent = leaf(*output.shape, seed=9, dtype=torch.bfloat16, grad=False)
    for a, b in zip(torch.autograd.grad(output, given, cotangent), torch.autograd.grad(want, wide, cotangent.double())):
        assert a.dtype == torch.bfloat16 and near(a, b)
    with torch.inference_mode():
        assert torch.equal(sdpa(*given, **OPTIONS[name](torch.bfloat16))[0], output)
    torch.library.opcheck(sdpa.default, inputs(torch.bfloat16), OPTIONS[name](torch.bfloat16))


@pytest.mark.parametrize("dtype", [torch.half, torch.complex64])
def test_other_dtypes(dtype):
    q, k, v = inputs(dtype, grad=False)
    if dtype == torch.half:
        torch.testing.assert_close(sdpa(q, k, v)[0].float(), sdpa(q.float(), k.float(), v.float())[0], rtol=2e-2, atol=2e-2)
    else:
        with pytest.raises(RuntimeError, match="query has dtype ComplexFloat but must be floating point"):
            sdpa(q, k, v)


def test_compiled_graph_holds_the_op():
    seen = []

    def backend(module, _):
        seen.extend(str(node.target) for node in module.graph.nodes)
        return module.forward

    given = inputs(grad=False)
    compiled = torch.compile(lambda q, k, v: sdpa(q, k, v, causal=True)[0] * 2, backend=backend, fullgraph=True)
    torch.testing.assert_close(compiled(*given), sdpa(*given, causal=True)[0] * 2)
    assert "attend.sdpa.default" in seen or "attend.sdpa" in seen


def test_compiled_training_step():
    def loss(q, k, v):
        return sdpa(q, k, v, causal=True)[0].square().sum()

    eager, traced = inputs(), inputs()
    loss(*eager).backward()
    torch.compile(loss, backend="aot_eager", fullgraph=True)(*traced).backward()
    for a, b in zip(eager, traced):
        torch.testing.assert_close(a.grad, b.grad)


def test_meta():
    empty = lambda *size: torch.empty(*size, device="meta")
    output, weights = sdpa(empty(2, 4, 5, 3), empty(2, 2, 6, 3), empty(2, 2, 6, 7), need_weights=True)
    assert output.shape == (2, 4, 5, 7) and weights.shape == (2, 4, 5, 6) and output.device.type == "meta"
    with pytest.raises(RuntimeError, match=r"attend::sdpa: key has D=4"):
        sdpa(empty(2, 4, 5, 3), empty(2, 2, 6, 4), empty(2, 2, 6, 7))


BAD = {
    "shape": (lambda q, k, v: sdpa(q, k[..., :2], v), r"attend::sdpa: key has D=2 \(shape \[2, 2, 6, 2\]\) but query set D=3"),
    "rank": (lambda q, k, v: sdpa(q[0], k, v), r"query must be \[B, H, Lq, D\] but has shape \[4, 5, 3\]"),
    "dtype": (lambda q, k, v: sdpa(q, k.float(), v), "key has dtype Float but query has Double"),
    "device": (lambda q, k, v: sdpa(q, k.to("meta"), v), "key is on meta but query is on cpu"),
    "heads": (lambda q, k, v: sdpa(q[:, :3], k, v), "query has H=3 heads, which is not a multiple of key's Hkv=2"),
    "window": (lambda q, k, v: sdpa(q, k, v, window_right=-2), "window_right is -2 but must be at least -1"),
    "scale": (lambda q, k, v: sdpa(q, k, v, scale=float("nan")), "scale is nan but must be finite"),
    "dropout": (lambda q, k, v: sdpa(q, k, v, dropout=-0.1), "dropout is -0.100000 but must be in"),
    "alignment": (lambda q, k, v: sdpa(q, k, v, alignment="end"), "alignment is 'end' but must be 'last' or 'first'"),
    "lengths": (lambda q, k, v: sdpa(q, k, v, key_lengths=torch.tensor([6, 7])), r"key_lengths\[1\] is 7 but must be in \[0, Lk=6\]"),
    "negative": (lambda q, k, v: sdpa(q, k, v, query_lengths=torch.tensor([-1, 0])), r"query_lengths\[0\] is -1"),
    "int32": (lambda q, k, v: sdpa(q, k, v, key_lengths=torch.tensor([6, 6], dtype=torch.int32)), "key_lengths has dtype Int but must be int64"),
    "mask": (lambda q, k, v: sdpa(q, k, v, mask=torch.ones(3, 6, dtype=torch.bool)), r"mask has shape \[3, 6\], which does not broadcast"),
    "mask grows": (lambda q, k, v: sdpa(q[:1], k[:1], v[:1], mask=torch.ones(2, 1, 5, 6, dtype=torch.bool)), "does not broadcast"),
    "bias": (lambda q, k, v: sdpa(q, k, v, bias=torch.ones(5, 6, dtype=torch.long)), "bias has dtype Long but must be floating point"),
    "overflow": (lambda q, k, v: sdpa(q[:1, :1, :1].expand(1, 1, 2**40, 3), k[:1, :1, :1].expand(1, 1, 2**40, 3),
                                      v[:1, :1, :1].expand(1, 1, 2**40, 4), need_weights=True), "more elements than can be counted"),
}


@pytest.mark.parametrize("name", BAD)
def test_says_what_is_wrong(name):
    call, message = BAD[name]
    with pytest.raises(RuntimeError, match=message):
        call(*inputs(grad=False))


@pytest.mark.parametrize("size", [(0, 4, 5, 6), (2, 4, 0, 6), (2, 4, 5, 0), (2, 0, 5, 6)])
def test_empty_sizes(size):
    batch, heads, queries, keys = size
    q, k = leaf(batch, heads, queries, 3), leaf(batch, heads, keys, 3)
    output, weights = sdpa(q, k, k, need_weights=True)
    assert output.shape == (batch, heads, queries, 3) and weights.shape == (batch, heads, queries, keys)
    assert output.abs().sum() == 0
    for gradient in torch.autograd.grad(output.sum(), (q, k)):
        assert gradient.abs().sum() == 0
