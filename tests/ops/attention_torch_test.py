"""torch.ops.attend.multiplicative, location, attend_scores, local and predicted_centre: torch's own checks, and the formulas
written in torch."""
import os

import pytest
import torch

torch.ops.load_library(os.environ["ATTEND_LIBRARY"])
ops = torch.ops.attend


def leaf(*size, seed=0, dtype=torch.double, grad=True, scale=1.0):
    g = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(*size, generator=g, dtype=torch.double)).to(dtype).requires_grad_(grad)


def softmax_of(scores, visible=None):
    """softmax over what may be seen; a row that sees nothing is 0."""
    if visible is None:
        return scores.softmax(-1)
    return scores.masked_fill(~visible, float("-inf")).softmax(-1).nan_to_num(0)


def cosine(q, k):
    return torch.nn.functional.cosine_similarity(q[:, :, None], k[:, None], dim=-1, eps=0)


SCORES = {
    "dot": lambda q, k, w: q @ k.mT,
    "general": lambda q, k, w: q @ w @ k.mT,
    "scaled_dot": lambda q, k, w: q @ k.mT / q.shape[2] ** 0.5,
    "cosine": lambda q, k, w: cosine(q, k),
}


def score_inputs(score, dtype=torch.double, grad=True):
    width = 3 if score == "general" else 4
    given = [leaf(2, 5, 4, dtype=dtype, grad=grad), leaf(2, 6, width, seed=1, dtype=dtype, grad=grad),
             leaf(2, 6, 3, seed=2, dtype=dtype, grad=grad)]
    return given, leaf(4, 3, seed=3, dtype=dtype, grad=grad) if score == "general" else None


@pytest.mark.parametrize("score", SCORES)
def test_multiplicative_is_its_formula(score):
    (q, k, v), w = score_inputs(score)
    visible = torch.arange(6) < torch.tensor([6, 2])[:, None, None]
    for options, seen in (({}, None), ({"key_lengths": torch.tensor([6, 2])}, visible.expand(2, 5, 6))):
        output, weights = ops.multiplicative(q, k, v, score, w, need_weights=True, scale=0.7, **options)
        want = softmax_of(0.7 * SCORES[score](q, k, w), seen)
        torch.testing.assert_close(weights, want)
        torch.testing.assert_close(output, want @ v)


@pytest.mark.parametrize("score", SCORES)
def test_multiplicative_opcheck_and_gradcheck(score):
    (q, k, v), w = score_inputs(score)
    torch.library.opcheck(ops.multiplicative.default, (q, k, v, score, w), {"causal": True, "need_weights": True})
    given = [q, k, v] + ([w] if w is not None else [])

    def f(q, k, v, w=None):
        return ops.multiplicative(q, k, v, score, w, key_lengths=torch.tensor([6, 3]), need_weights=True)

    assert torch.autograd.gradcheck(f, given)
    assert torch.autograd.gradgradcheck(f, given)


@pytest.mark.parametrize("score", SCORES)
def test_multiplicative_never_touches_what_is_hidden(score):
    """In a score that does something to rows before they are compared, too."""
    (q, k, v), w = score_inputs(score, grad=False)
    q[1, 3:], k[1, 2:], v[1, 2:] = (float("nan"),) * 3
    given = [t.requires_grad_() for t in ([q, k, v] + ([w] if w is not None else []))]
    output, _ = ops.multiplicative(q, k, v, score, w, query_lengths=torch.tensor([5, 3]), key_lengths=torch.tensor([6, 2]))
    assert output.isfinite().all() and (output[1, 3:] == 0).all()
    for gradient in torch.autograd.grad(output.sum(), given):
        assert gradient.isfinite().all()


def test_cosine_of_a_zero_row_is_zero():
    q, k, v = torch.zeros(1, 2, 4).requires_grad_(), leaf(1, 3, 4, dtype=torch.float), leaf(1, 3, 2, seed=1, dtype=torch.float)
    output, weights = ops.multiplicative(q, k, v, "cosine", need_weights=True)
    torch.testing.assert_close(weights, torch.full((1, 2, 3), 1 / 3))
    assert torch.autograd.grad(output.sum(), q)[0].isfinite().all()


def test_location_is_its_formula():
    q, v, w = leaf(2, 5, 4), leaf(2, 6, 3, seed=1), leaf(9, 4, seed=2)
    output, weights = ops.location(q, v, w, need_weights=True)
    want = torch.softmax(q @ w[:6].T, -1)
    torch.testing.assert_close(weights, want)
    torch.testing.assert_close(output, want @ v)
    torch.library.opcheck(ops.location.default, (q, v, w), {"key_lengths": torch.tensor([6, 2]), "need_weights": True})
    f = lambda q, v, w: ops.location(q, v, w, key_lengths=torch.tensor([6, 2]), query_lengths=torch.tensor([4, 5]))[0]
    assert torch.autograd.gradcheck(f, (q, v, w)) and torch.autograd.gradgradcheck(f, (q, v, w))
    gradient = torch.autograd.grad(f(q, v, w).sum(), w)[0]
    assert (gradient[6:] == 0).all()   # places beyond the row


def test_attend_scores_is_softmax_times_value():
    s, v, bias = leaf(2, 5, 6), leaf(2, 6, 3, seed=1), leaf(5, 6, seed=2)
    output, weights = ops.attend_scores(s, v, bias=bias, scale=0.5, need_weights=True)
    want = torch.softmax(0.5 * s + bias, -1)
    torch.testing.assert_close(weights, want)
    torch.testing.assert_close(output, want @ v)
    torch.library.opcheck(ops.attend_scores.default, (s, v), {"causal": True, "need_weights": True})
    f = lambda s, v, b: ops.attend_scores(s, v, bias=b, key_lengths=torch.tensor([6, 2]), need_weights=True)
    assert torch.autograd.gradcheck(f, (s, v, bias)) and torch.autograd.gradgradcheck(f, (s, v, bias))


def test_attend_scores_hides_a_nan():
    s, v = leaf(1, 2, 4, grad=False), leaf(1, 4, 3, seed=1)
    s[..., 3] = float("nan")
    s.requires_grad_()
    output, _ = ops.attend_scores(s, v, key_lengths=torch.tensor([3]))
    assert output.isfinite().all()
    for gradient in torch.autograd.grad(output.square().sum(), (s, v)):
        assert gradient.isfinite().all()


def local_inputs(additive, dtype=torch.double):
    centre = (torch.tensor([[0.3, 3.3, 6.3], [4.3, -5.3, 9.3]], dtype=torch.double)).to(dtype).requires_grad_()
    given = [leaf(2, 3, 4, dtype=dtype), leaf(2, 8, 4, seed=1, dtype=dtype), leaf(2, 8, 3, seed=2, dtype=dtype), centre]
    return given + ([leaf(4, seed=3, dtype=dtype)] if additive else [])


@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize("gaussian", [False, True])
def test_local_is_luongs(additive, gaussian):
    q, k, v, c, *w = local_inputs(additive)
    scores = (torch.tanh(q[:, :, None] + k[:, None]) @ w[0]) if additive else q @ k.mT
    apart = torch.arange(8) - c[:, :, None]
    want = softmax_of(scores, (apart.abs() <= 2) & (torch.arange(8) < torch.tensor([8, 6])[:, None, None]))
    if gaussian:
        want = want * torch.exp(-apart**2 / (2 * 1.0**2))   # σ = window / 2
    output, weights = ops.local(q, k, v, c, window=2, gaussian=gaussian, score_weight=w[0] if additive else None,
                                key_lengths=torch.tensor([8, 6]), need_weights=True)
    torch.testing.assert_close(weights, want)
    torch.testing.assert_close(output, want @ v)


@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize("dtype", [torch.float, torch.double, torch.bfloat16])
def test_local_opcheck(additive, dtype):
    given = local_inputs(additive, dtype)
    options = {"window": 2, "score_weight": given[4] if additive else None, "key_lengths": torch.tensor([8, 5]), "need_weights": True}
    torch.library.opcheck(ops.local.default, given[:4], options)


@pytest.mark.parametrize("additive", [False, True])
@pytest.mark.parametrize("gaussian", [False, True])
def test_local_gradcheck(additive, gaussian):
    def f(q, k, v, c, w=None):
        return ops.local(q, k, v, c, window=2, gaussian=gaussian, score_weight=w, key_lengths=torch.tensor([8, 5]), need_weights=True)

    assert torch.autograd.gradcheck(f, local_inputs(additive))
    assert torch.autograd.gradgradcheck(f, local_inputs(additive))


def test_predicted_centre():
    h, w, v, lengths = leaf(2, 3, 4), leaf(5, 4, seed=1), leaf(5, seed=2), torch.tensor([9, 4])
    want = lengths[:, None] * torch.sigmoid(torch.tanh(h @ w.T) @ v)
    torch.testing.assert_close(ops.predicted_centre(h, w, v, 9, lengths), want)
    torch.library.opcheck(ops.predicted_centre.default, (h, w, v, 9, lengths))
    assert torch.autograd.gradcheck(lambda *a: ops.predicted_centre(*a, 9, lengths), (h, w, v))


BAD = {
    "score": (lambda q, k, v: ops.multiplicative(q, k, v, "product"), "score is 'product' but must be 'dot', 'general'"),
    "weight missing": (lambda q, k, v: ops.multiplicative(q, k, v, "general"), r"weight is undefined but must be \[D, Dk\]"),
    "weight unwanted": (lambda q, k, v: ops.multiplicative(q, k, v, "dot", q[0]), "weight is for the general score"),
    "width": (lambda q, k, v: ops.multiplicative(q, k[..., :2], v), r"attend::multiplicative: key has D=2"),
    "heads": (lambda q, k, v: ops.multiplicative(q[:, None], k, v), r"query must be \[B, Lq, D\]"),
    "mask": (lambda q, k, v: ops.multiplicative(q, k, v, mask=torch.ones(2, 1, 5, 6).bool()), "mask has shape"),
    "window": (lambda q, k, v: ops.multiplicative(q, k, v, window_left=-2), "attend::multiplicative: window_left is -2"),
    "places": (lambda q, k, v: ops.location(q, v, q[0, :3]), "weight has P=3 places but value has Lk=6 keys"),
    "scores": (lambda q, k, v: ops.attend_scores(q, v), r"attend::attend_scores: value has Lk=6 .* but scores set Lk=4"),
    "NaN": (lambda q, k, v: ops.attend_scores(q @ k.mT, v, scale=float("nan")), "attend::attend_scores: scale is nan"),
    "lengths": (lambda q, k, v: ops.location(q, v, torch.ones(6, 4).double(), key_lengths=torch.tensor([7, 0])), r"key_lengths\[0\] is 7"),
    "centre": (lambda q, k, v: ops.local(q, k, v, q[..., 0, 0]), r"attend::local: centre must be \[B, Lq\]"),
    "local": (lambda q, k, v: ops.local(q, k, v, q[..., 0], window=0), "attend::local: window is 0 but must be at least 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_says_what_is_wrong(name):
    call, message = BAD[name]
    with pytest.raises(RuntimeError, match=message):
        call(*score_inputs("dot", grad=False)[0])


def test_empty_sizes():
    for batch, queries, keys in ((0, 5, 6), (2, 0, 6), (2, 5, 0)):
        q, k = leaf(batch, queries, 4), leaf(batch, keys, 4)
        for output in (ops.multiplicative(q, k, k, "cosine")[0], ops.attend_scores(q @ k.mT, k)[0],
                       ops.location(q, k, leaf(6, 4))[0], ops.local(q, k, k, leaf(batch, queries))[0]):
            assert output.shape == (batch, queries, 4) and output.isfinite().all()
            torch.autograd.grad(output.sum(), k)
