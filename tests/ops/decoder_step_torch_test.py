"""torch.ops.attend.decoder_step from Python: torch's own checks (opcheck, gradcheck, gradgradcheck) and torch's own cells."""

import os

import pytest
import torch

torch.ops.load_library(os.environ["ATTEND_LIBRARY"])
decoder_step = torch.ops.attend.decoder_step
B, H, A, V, K = 2, 5, 4, 3, 6
BLOCKS = {"gru": 3, "gru_reset_before": 3, "lstm": 4}


def leaf(*size, seed=0, dtype=torch.double):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*size, generator=g, dtype=torch.double).to(dtype).requires_grad_()


def inputs(cell, dtype=torch.double):
    g = BLOCKS[cell] * H
    return (
        leaf(B, g, dtype=dtype),
        leaf(B, H, seed=1, dtype=dtype),
        leaf(B, H, seed=2, dtype=dtype) if cell == "lstm" else None,
        leaf(B, K, A, seed=3, dtype=dtype),
        leaf(B, K, V, seed=4, dtype=dtype),
        leaf(A, H, seed=5, dtype=dtype),
        leaf(A, seed=6, dtype=dtype),
        leaf(g, V, seed=7, dtype=dtype),
        leaf(g, H, seed=8, dtype=dtype),
        leaf(g, seed=9, dtype=dtype),
    )


def rest(cell, lengths=None, need_weights=True):
    return (None, None, lengths, None, cell), {"need_weights": need_weights}


@pytest.mark.parametrize("dtype", [torch.float, torch.double])
@pytest.mark.parametrize("cell", BLOCKS)
def test_opcheck(cell, dtype):
    positional, named = rest(cell, torch.tensor([K, 0]))
    torch.library.opcheck(decoder_step.default, (*inputs(cell, dtype), *positional), named)


@pytest.mark.parametrize("cell", BLOCKS)
def test_gradients_to_the_second_order(cell):
    positional, named = rest(cell, torch.tensor([K, 3]))
    given = inputs(cell)
    at = [i for i, tensor in enumerate(given) if tensor is not None]

    def f(*leaves):
        arguments = list(given)
        for i, tensor in zip(at, leaves):
            arguments[i] = tensor
        state, memory, context, weights = decoder_step(*arguments, *positional, **named)
        return (state, context, weights) + ((memory,) if cell == "lstm" else ())

    leaves = tuple(given[i] for i in at)
    assert torch.autograd.gradcheck(f, leaves)
    assert torch.autograd.gradgradcheck(f, leaves)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_is_additive_attention_and_then_torchs_cell(cell):
    gates, state, memory, key, value, query_map, score, context_map, hidden_map, bias = (
        None if t is None else t.detach() for t in inputs(cell)
    )
    weights = torch.softmax(torch.tanh((state @ query_map.T)[:, None] + key) @ score, -1)
    context = (weights[:, None] @ value)[:, 0]
    # The token's part of the gates enters torch's cell as an input that passes through the identity.
    size = gates.size(1)
    step = torch.cat([gates, context], 1)
    input_map = torch.cat([torch.eye(size, dtype=torch.double), context_map], 1)
    zero = torch.zeros(size, dtype=torch.double)
    if cell == "lstm":
        wanted, wanted_memory = torch.lstm_cell(step, (state, memory), input_map, hidden_map, zero, bias)
    else:
        wanted = torch.gru_cell(step, state, input_map, hidden_map, zero, bias)
    positional, named = rest(cell)
    got = decoder_step(
        gates, state, memory, key, value, query_map, score, context_map, hidden_map, bias, *positional, **named
    )
    torch.testing.assert_close(got[0], wanted)
    torch.testing.assert_close(got[2], context)
    torch.testing.assert_close(got[3], weights)
    if cell == "lstm":
        torch.testing.assert_close(got[1], wanted_memory)
