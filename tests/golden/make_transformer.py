"""Golden file of tests/nn/transformer_golden_test.cpp, made by Python's torch.nn, which has options that C++ torch lacks.

    python tests/golden/make_transformer.py        (needs torch 2.13 and safetensors)

transformer.safetensors holds, for every case, the state dict ("CASE/state/…"), inputs ("CASE/in/…"), results ("CASE/out/…") and the
gradients of <output, cotangent> to parameters and inputs ("CASE/grad/…"). All in float64, in training mode without dropout, so
that torch takes its plain path. Masks here are torch's own: true = must not attend.
"""
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

C, H, F, B, L, S = 6, 3, 5, 2, 4, 3
DOUBLE = {"dtype": torch.float64}
tensors = {}


def noise(*shape):
    return torch.randn(*shape, **DOUBLE)


def record(case, module, inputs, call, weights=False):
    """Randomises every parameter (torch starts biases at 0, which would hide a forgotten one), runs and differentiates."""
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(0.5 * noise(*p.shape))
    inputs = {k: v.requires_grad_(v.is_floating_point()) for k, v in inputs.items()}
    result = call(module, inputs)
    output, w = result if weights else (result, None)
    cotangent = noise(*output.shape)
    (output * cotangent).sum().backward()
    tensors.update({f"{case}/state/{k}": v for k, v in module.state_dict().items()})
    tensors.update({f"{case}/in/{k}": v for k, v in inputs.items()})
    tensors.update({f"{case}/out/output": output, f"{case}/in/cotangent": cotangent})
    if weights:
        tensors[f"{case}/out/weights"] = w
    tensors.update({f"{case}/grad/{k}": p.grad for k, p in module.named_parameters()})
    tensors.update({f"{case}/grad/{k}": v.grad for k, v in inputs.items() if v.grad is not None})


def hidden(lengths, keys):
    return torch.arange(keys)[None] >= lengths[:, None]


def attention(m, x):
    return m(x["query"], x["key"], x["value"], key_padding_mask=hidden(x["lengths"], x["key"].shape[1]), average_attn_weights=False)


def encode(m, x):
    return m(x["input"], src_key_padding_mask=hidden(x["lengths"], L))


def decode(m, x):
    causal = torch.triu(torch.ones(L, L, dtype=torch.bool), 1)
    return m(x["target"], x["memory"], tgt_mask=causal, memory_key_padding_mask=hidden(x["lengths"], S))


def attention_case(name, kdim=C, vdim=C, **options):
    inputs = {"query": noise(B, L, C), "key": noise(B, S, kdim), "value": noise(B, S, vdim), "lengths": torch.tensor([S, 2])}
    record(name, nn.MultiheadAttention(C, H, kdim=kdim, vdim=vdim, batch_first=True, **options, **DOUBLE), inputs, attention, weights=True)


def main():
    torch.manual_seed(1)
    attention_case("mha")
    attention_case("mha_widths", kdim=5, vdim=7)
    attention_case("mha_no_bias", bias=False)
    attention_case("mha_added_keys", add_bias_kv=True, add_zero_attn=True)
    layer = {"dim_feedforward": F, "dropout": 0.0, "batch_first": True, **DOUBLE}
    pre = {"norm_first": True, "layer_norm_eps": 1e-3, "bias": False, "activation": "gelu"}
    source = {"input": noise(B, L, C), "lengths": torch.tensor([L, 2])}
    target = {"target": noise(B, L, C), "memory": noise(B, S, C), "lengths": torch.tensor([2, S])}
    fresh = lambda x: {k: v.detach().clone() for k, v in x.items()}  # noqa: E731
    record("encoder_post", nn.TransformerEncoderLayer(C, H, **layer), fresh(source), encode)
    record("encoder_pre", nn.TransformerEncoderLayer(C, H, **layer, **pre), fresh(source), encode)
    record("decoder_post", nn.TransformerDecoderLayer(C, H, **layer), fresh(target), decode)
    record("decoder_pre", nn.TransformerDecoderLayer(C, H, **layer, **pre), fresh(target), decode)
    tanh_gelu = {"activation": lambda x: nn.functional.gelu(x, approximate="tanh"), "norm_first": True}
    record("encoder_stack", nn.TransformerEncoder(nn.TransformerEncoderLayer(C, H, **layer, **tanh_gelu), 2, nn.LayerNorm(C, **DOUBLE),
                                                  enable_nested_tensor=False), fresh(source), encode)
    record("decoder_stack", nn.TransformerDecoder(nn.TransformerDecoderLayer(C, H, **layer), 2, nn.LayerNorm(C, **DOUBLE)), fresh(target), decode)
    save_file({k: v.detach().clone().contiguous() for k, v in tensors.items()}, Path(__file__).parent / "transformer.safetensors", {"format": "pt"})


if __name__ == "__main__":
    main()
