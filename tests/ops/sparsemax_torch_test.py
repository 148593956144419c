"""torch.ops.attend.sparsemax: torch's own checks, and the paper's algorithm written in torch."""
import os

import pytest
import torch

torch.ops.load_library(os.environ["ATTEND_LIBRARY"])
sparsemax = torch.ops.attend.sparsemax


def leaf(*size, seed, dtype=torch.double):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*size, generator=g, dtype=torch.double).to(dtype).requires_grad_()


def inputs(dtype=torch.double):
    return leaf(2, 4, 3, 3, seed=1, dtype=dtype), leaf(2, 2, 5, 3, seed=2, dtype=dtype), leaf(2, 2, 5, 2, seed=3, dtype=dtype)


def by_sorting(z):
    """Algorithm 1 of Martins and Astudillo (2016), one row of numbers at a time."""
    out = torch.zeros_like(z)
    for row, to in zip(z.reshape(-1, z.shape[-1]), out.view(-1, z.shape[-1])):
        order = sorted(row.tolist(), reverse=True)
        k = max(k for k in range(1, len(order) + 1) if 1 + k * order[k - 1] > sum(order[:k]))
        to.copy_((row - (sum(order[:k]) - 1) / k).clamp(min=0))
    return out


def test_is_the_papers_algorithm():
    q, k, v = (x.detach() for x in inputs())
    output, weights = sparsemax(q, k, v, scale=2.0, need_weights=True)
    k, v = k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)
    want = by_sorting(2 * q @ k.mT)
    torch.testing.assert_close(weights, want)
    torch.testing.assert_close(output, want @ v)
    assert (weights == 0).any() and ((weights > 0) & (weights < 1)).any()


@pytest.mark.parametrize("options", [{}, {"causal": True}, {"key_lengths": torch.tensor([5, 2])},
                                     {"mask": torch.ones(3, 5).tril(2).bool(), "dropout": 0.3, "seed": 2}],
                         ids=["plain", "causal", "lengths", "mask and dropout"])
@pytest.mark.parametrize("need_weights", [False, True])
def test_opcheck_and_gradcheck(options, need_weights):
    options = {**options, "need_weights": need_weights}
    torch.library.opcheck(sparsemax.default, inputs(), options)
    take = (lambda r: r) if need_weights else (lambda r: r[0])
    f = lambda *x: take(sparsemax(*x, **options))  # noqa: E731
    assert torch.autograd.gradcheck(f, inputs())
    assert torch.autograd.gradgradcheck(f, inputs())


def test_a_graph_for_any_shape():
    program = torch.compile(lambda q, k, v: sparsemax(q, k, v, causal=True)[0], backend="eager", fullgraph=True, dynamic=True)
    q, k, v = inputs()
    torch.testing.assert_close(program(q, k, v), sparsemax(q, k, v, causal=True)[0])


def test_bfloat16_runs_the_definition():
    q, k, v = (x.detach().bfloat16() for x in inputs())
    want = sparsemax(q.float(), k.float(), v.float())[0]
    torch.testing.assert_close(sparsemax(q, k, v)[0].float(), want, atol=0.05, rtol=0.05)
