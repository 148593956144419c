"""torch.ops.attend.gru: torch's own checks pass on it, in both forms, and torch.nn.GRU agrees."""
import os

import pytest
import torch

torch.ops.load_library(os.environ["ATTEND_LIBRARY"])


def leaf(*size, seed=0, dtype=torch.double):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*size, generator=g, dtype=torch.double).to(dtype).requires_grad_()


def case(name, dtype):
    """B 3, T 4, I 2, H 3: positional and keyword arguments."""
    args = [leaf(3, 4, 2, dtype=dtype), leaf(9, 2, seed=1, dtype=dtype), leaf(9, 3, seed=2, dtype=dtype)]
    kwargs = {}
    if name != "no bias":
        args += [leaf(9, seed=3, dtype=dtype), leaf(9, seed=4, dtype=dtype)]
    if name == "everything":
        kwargs = {"h0": leaf(3, 3, seed=5, dtype=dtype), "lengths": torch.tensor([4, 0, 2]), "reverse": True,
                  "input_mask": torch.tensor([[1.5, 0], [1.5, 1.5], [0, 1.5]], dtype=dtype),
                  "recurrent_mask": torch.tensor([[1.25, 0, 1.25]] * 3, dtype=dtype)}
    return args, kwargs


CASES = ["plain", "no bias", "everything"]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("reset_before", [False, True])
@pytest.mark.parametrize("dtype", [torch.float, torch.double])
def test_opcheck(name, reset_before, dtype):
    args, kwargs = case(name, dtype)
    torch.library.opcheck(torch.ops.attend.gru.default, args, {**kwargs, "reset_before": reset_before})


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("reset_before", [False, True])
def test_gradcheck(name, reset_before):
    args, kwargs = case(name, torch.double)
    h0 = kwargs.pop("h0", None)

    def f(*inputs):
        given, state = (inputs[:-1], inputs[-1]) if h0 is not None else (inputs, None)
        return torch.ops.attend.gru(*given, h0=state, reset_before=reset_before, **kwargs)

    inputs = (*args, h0) if h0 is not None else tuple(args)
    assert torch.autograd.gradcheck(f, inputs)
    assert torch.autograd.gradgradcheck(f, inputs)


def test_is_torchs():
    layer = torch.nn.GRU(5, 7, batch_first=True, dtype=torch.double)
    x = leaf(4, 6, 5)
    output, h_n = layer(x)
    ours = torch.ops.attend.gru(x, layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0, layer.bias_hh_l0)
    torch.testing.assert_close(ours[0], output, rtol=0, atol=1e-14)
    torch.testing.assert_close(ours[1], h_n[0], rtol=0, atol=1e-14)
