"""torch.ops.attend.additive from Python: torch's own checks (opcheck, gradcheck, gradgradcheck) and the paper's formula."""
import os

import pytest
import torch

torch.ops.load_library(os.environ["ATTEND_LIBRARY"])
additive = torch.ops.attend.additive


def leaf(*size, seed=0, dtype=torch.double, scale=1.0):
    g = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(*size, generator=g, dtype=torch.double)).to(dtype).requires_grad_()


def tensors(dtype=torch.double, lq=3, lk=5):
    return (leaf(2, lq, 7, dtype=dtype), leaf(2, lk, 7, seed=1, dtype=dtype), leaf(2, lk, 4, seed=2, dtype=dtype),
            leaf(7, seed=3, dtype=dtype))


OPTIONS = {
    "plain": {},
    "weights": {"need_weights": True},
    "lengths": {"key_lengths": torch.tensor([5, 0]), "query_lengths": torch.tensor([2, 3]), "need_weights": True},
    "causal": {"causal": True, "alignment": "first", "scale": 0.5},
    "window": {"window_left": 1, "window_right": 1},
    "mask": {"mask": torch.tensor([[[True, False, True, True, False], [False] * 5, [True] * 5]]), "need_weights": True},
    "dropout": {"dropout": 0.4, "seed": 17, "need_weights": True},
}


def formula(query, key, value, weight, bias=None):
    """Bahdanau et al. 2015, A.1.2, without this project."""
    scores = torch.einsum("bija,a->bij", torch.tanh(query[:, :, None] + key[:, None]), weight)
    weights = torch.softmax(scores if bias is None else scores + bias, -1)
    return weights @ value, weights


@pytest.mark.parametrize("dtype", [torch.float, torch.double])
@pytest.mark.parametrize("case", OPTIONS)
def test_opcheck(case, dtype):
    torch.library.opcheck(additive.default, tensors(dtype), OPTIONS[case])


def test_opcheck_with_bias_and_prepared_keys():
    query, key, value, weight = tensors()
    torch.library.opcheck(torch.ops.attend.additive_prepare.default, (key.detach(),))
    prepared = torch.ops.attend.additive_prepare(key.detach())
    torch.library.opcheck(additive.default, (query, key, value, weight, prepared),
                          {"bias": leaf(3, 5, seed=4), "need_weights": True})


@pytest.mark.parametrize("dtype", [torch.float, torch.double])
def test_training_op_opcheck(dtype):
    inputs = [t.detach() for t in tensors(dtype)]
    prepared = torch.ops.attend.additive_prepare(inputs[1])
    options = (None, None, None, None, False, "last", -1, -1, None, 0.0, 0, True)
    for keys in (None, prepared):
        torch.library.opcheck(torch.ops.attend.additive_training.default, (*inputs, keys, *options))
    made = torch.ops.attend.additive_training(*inputs, None, *options)[2]
    assert torch.equal(made, prepared)


def test_opcheck_where_the_weights_are_not_kept():   # more pairs than (Lq + Lk) A
    torch.library.opcheck(additive.default, tensors(lq=40, lk=41))


@pytest.mark.parametrize("case", OPTIONS)
def test_gradients_to_the_second_order(case):
    def f(*inputs):
        output, weights = additive(*inputs, **OPTIONS[case])
        return (output, weights) if OPTIONS[case].get("need_weights") else output

    assert torch.autograd.gradcheck(f, tensors())
    assert torch.autograd.gradgradcheck(f, tensors())


@pytest.mark.parametrize("shape", [(2, 3, 5), (3, 1), (1, 3, 5), (5,)])
def test_gradient_of_the_bias_and_through_prepared_keys(shape):
    def f(query, key, value, weight, bias):
        return additive(query, key, value, weight, torch.ops.attend.additive_prepare(key.detach()), bias=bias)[0]

    inputs = (*tensors(), leaf(*shape, seed=4))
    assert torch.autograd.gradcheck(f, inputs)
    assert torch.autograd.gradgradcheck(f, inputs)


def test_gradient_where_the_weights_are_not_kept():
    inputs = tensors(lq=40, lk=41)
    ours = torch.autograd.grad(additive(*inputs)[0].square().sum(), inputs)
    theirs = torch.autograd.grad(formula(*inputs)[0].square().sum(), inputs)
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


def test_it_is_the_formula():
    bias = leaf(2, 3, 5, seed=4)
    for ours, theirs in zip(additive(*tensors(), bias=bias, need_weights=True), formula(*tensors(), bias)):
        torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-14)
    assert additive(*tensors())[1].numel() == 0   # not asked for


def test_bfloat16_runs_the_composition():
    output, _ = additive(*tensors(torch.bfloat16))
    torch.testing.assert_close(output.float(), formula(*tensors())[0].float(), rtol=0.05, atol=0.05)


def test_it_says_what_is_wrong():
    query, key, value, weight = tensors()
    with pytest.raises(RuntimeError, match=r"attend::additive: key has A=6 \(shape \[2, 5, 6\]\) but query set A=7"):
        additive(query, key[:, :, :6], value, weight)
    with pytest.raises(RuntimeError, match="attend::additive: prepared must be what additive_prepare makes of key, contiguous rows of 16, not of 7"):
        additive(query, key, value, weight, key.detach())
    with pytest.raises(RuntimeError, match="alignment is 'middle' but must be 'last' or 'first'"):
        additive(query, key, value, weight, alignment="middle")


def test_on_meta():
    query, key, value, weight = (t.detach().to("meta") for t in tensors())
    output, weights = additive(query, key, value, weight, need_weights=True)
    assert output.shape == (2, 3, 4) and weights.shape == (2, 3, 5) and output.device.type == "meta"
