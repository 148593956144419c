"""Golden file of tests/nn/keras_attention_test.cpp: Keras' own attention layers, run and differentiated in float64.

    python tests/golden/make_keras_attention.py        (needs what make_keras.py needs)

keras_attention.safetensors holds, for every case, the layer's weights in Keras' layout ("CASE/weights/…"), inputs and masks
("CASE/in/…", true = may attend), the output and the attention scores that Keras returns ("CASE/out/…"), and the gradients of
<output, cotangent> to weights and inputs ("CASE/grad/…"). The cotangent is 0 for queries that query_mask hides: Keras' layers
differ in what they output there. No query has all of its keys hidden: Keras then attends to all of them alike. Heads are
4 wide, because Keras rounds 1/√width to float32 in any dtype: of 1/2 nothing is lost.
"""
from make_keras import HERE, write  # first: it chooses the back end

import keras
import numpy as np
import tensorflow as tf
from keras import layers

B, LQ, LK = 2, 4, 5
RANDOM = np.random.default_rng(1)
tensors = {}


def noise(*shape):
    return RANDOM.normal(size=shape)


QUERY_MASK = np.array([[1, 1, 1, 1], [1, 1, 1, 0]], dtype=bool)
KEY_MASK = np.array([[1, 1, 0, 1, 1], [1, 0, 1, 1, 0]], dtype=bool)  # not only the end


def record(case, layer, inputs, call, masks=None):
    """inputs: names of the arrays that `call(layer, tensors)` gets; it returns (output, scores)."""
    x = {name: tf.constant(value) for name, value in inputs.items()}
    call(layer, x)  # builds
    for weight in layer.weights:  # Keras starts biases at 0 and scales at 1, which would hide a forgotten one
        weight.assign(0.5 + 0.3 * noise(*weight.shape))
    with tf.GradientTape() as tape:
        tape.watch(x)
        output, scores = call(layer, x)
        cotangent = noise(*output.shape)
        if masks and "query_mask" in masks:
            cotangent *= masks["query_mask"][..., None]
        loss = tf.reduce_sum(output * cotangent)
    weights = {w.path.split("/", 1)[-1]: w for w in layer.weights}
    variables = {**{n: w.value for n, w in weights.items()}, **x}
    gradients = tape.gradient(loss, variables)
    tensors.update({f"{case}/weights/{n}": w.numpy() for n, w in weights.items()})
    tensors.update({f"{case}/in/{n}": v for n, v in {**inputs, "cotangent": cotangent, **(masks or {})}.items()})
    tensors.update({f"{case}/out/output": output.numpy(), f"{case}/out/scores": scores.numpy()})
    tensors.update({f"{case}/grad/{n}": tf.convert_to_tensor(g).numpy() for n, g in gradients.items()})


def attention(case, layer, masks=None, causal=False, value_width=7, shared=False):
    """Attention and AdditiveAttention take [query, value, key] and [query_mask, value_mask]."""
    width = 6
    inputs = {"query": noise(B, LQ, width), "value": noise(B, LK, width if shared else value_width)}
    if not shared:
        inputs["key"] = noise(B, LK, width)
    given = [masks["query_mask"], masks["key_mask"]] if masks else None
    record(case, layer, inputs, lambda m, x: m(list(x.values()), mask=given, use_causal_mask=causal,
                                               return_attention_scores=True), masks)


def heads(case, layer, masks=None, causal=False, width=6, key_width=6, value_width=6):
    """MultiHeadAttention and GroupQueryAttention; attention_mask is [B,Lq,Lk] or [B,H,Lq,Lk]."""
    inputs = {"query": noise(B, LQ, width), "value": noise(B, LK, value_width), "key": noise(B, LK, key_width)}
    names = {"key_mask": "value_mask"}  # Keras masks the values
    given = {names.get(n, n): m for n, m in (masks or {}).items()}
    record(case, layer, inputs, lambda m, x: m(x["query"], x["value"], x["key"], use_causal_mask=causal,
                                               return_attention_scores=True, **given), masks)


def main():
    keras.config.set_floatx("float64")
    both = {"query_mask": QUERY_MASK, "key_mask": KEY_MASK}
    for name, make in (("dot", layers.Attention), ("additive", layers.AdditiveAttention)):
        attention(name, make(use_scale=False))
        attention(f"{name}_scale", make(use_scale=True))
        attention(f"{name}_shared", make(use_scale=True), shared=True)
        attention(f"{name}_masks", make(use_scale=True), both)
        attention(f"{name}_causal", make(use_scale=True), causal=True)
        attention(f"{name}_causal_masks", make(use_scale=True), both, causal=True)
    attention("concat", layers.Attention(use_scale=True, score_mode="concat"), both)

    heads("heads", layers.MultiHeadAttention(3, 4))
    heads("heads_wide", layers.MultiHeadAttention(3, 4), key_width=5, value_width=7)
    heads("heads_no_bias", layers.MultiHeadAttention(3, 4, use_bias=False), both)
    heads("heads_causal", layers.MultiHeadAttention(3, 4), causal=True)
    pairs = RANDOM.random((B, LQ, LK)) < 0.6
    pairs[:, :, 0] = True
    per_head = RANDOM.random((B, 3, LQ, LK)) < 0.6
    per_head[:, :, :, 0] = True
    heads("heads_mask", layers.MultiHeadAttention(3, 4), {"attention_mask": pairs})
    heads("heads_mask_causal", layers.MultiHeadAttention(3, 4), {"attention_mask": pairs, **both}, causal=True)
    heads("heads_mask_per_head", layers.MultiHeadAttention(3, 4), {"attention_mask": per_head})
    heads("grouped", layers.GroupQueryAttention(4, 6, 3), both, width=6)
    heads("grouped_causal", layers.GroupQueryAttention(4, 6, 2), causal=True)
    write(HERE / "keras_attention.safetensors", tensors, {})


if __name__ == "__main__":
    main()
