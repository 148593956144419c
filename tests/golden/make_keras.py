"""Golden files of tests/models/keras_parity_test.cpp, made by Keras itself.

    python tests/golden/make_keras.py        (needs keras 3.15.1 and tensorflow 2.21; nothing else does)

keras_CASE.safetensors holds a model's weights in Keras' layout, a batch, its dropout masks, and what Keras computed:
outputs, losses and gradients with and without dropout, and losses of 50 Adam steps. Files of the guide's true sizes
hold no weights or masks: both sides make them with `noise` below. keras_summary.json holds model.summary()'s numbers.

Keras 3.15's cells draw one mask per gate when recurrent_dropout is not 0 (and one for all gates when it is); this
project shares one mask per sequence among time steps and gates. So the masks are handed to the cells here, the
same for every gate.
"""
import json
import os
import struct
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""
import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers  # noqa: E402
from keras.src.layers.rnn.dropout_rnn_cell import DropoutRNNCell  # noqa: E402

HERE = Path(__file__).parent
DTYPES = {"float32": "F32", "float64": "F64", "int64": "I64", "bool": "BOOL"}


def write(path, tensors, metadata):
    header, data = {"__metadata__": {"format": "pt", **metadata}}, b""
    for name, x in tensors.items():
        x = np.ascontiguousarray(x)
        header[name] = {"dtype": DTYPES[str(x.dtype)], "shape": list(x.shape),
                        "data_offsets": [len(data), len(data) + x.nbytes]}
        data += x.tobytes()
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def noise(shape, salt):
    """Uniform in [0,1): a hash of the index that the C++ side repeats."""
    i = np.arange(int(np.prod(shape)), dtype=np.uint64)
    x = (i + np.uint64(salt) * np.uint64(1_000_003)) & np.uint64(0xFFFFFFFF)
    for factor in (0x7FEB352D, 0x846CA68B):
        x ^= x >> np.uint64(16)
        x = (x * np.uint64(factor)) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(16)
    return ((x >> np.uint64(8)).astype(np.float64) / 2.0**24).reshape(shape)


class Attention(layers.Layer):
    """The guide's layer."""

    def build(self, input_shape):
        self.W = self.add_weight(shape=(input_shape[-1], 1), initializer="normal", name="W")
        self.b = self.add_weight(shape=(input_shape[1], 1), initializer="zeros", name="b")

    def call(self, x):
        e = keras.ops.tanh(keras.ops.matmul(x, self.W) + self.b)
        a = keras.ops.softmax(e, axis=1)
        return keras.ops.sum(x * a, axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])


def given_mask(kind, original):
    def get(self, step_input):
        masks = getattr(self, "given", None)
        if masks is None:
            return original(self, step_input)
        count = getattr(self, "dropout_mask_count", None)
        mask = tf.constant(masks[kind])
        return mask if count is None else [mask] * count
    return get


DropoutRNNCell.get_dropout_mask = given_mask(0, DropoutRNNCell.get_dropout_mask)
DropoutRNNCell.get_recurrent_dropout_mask = given_mask(1, DropoutRNNCell.get_recurrent_dropout_mask)


def build(c, activation):
    cell = layers.GRU if c["gru"] else layers.LSTM
    model = keras.Sequential([keras.Input((c["T"],), dtype="int64")])
    model.add(layers.Embedding(c["V"] + 1, c["E"], mask_zero=c["mask"],
                               embeddings_regularizer=keras.regularizers.L2(c["l2"])))
    for layer in range(c["layers"]):
        sequence = c["attention"] or layer + 1 < c["layers"]
        one = cell(c["H"], dropout=c["dropout"], recurrent_dropout=c["recurrent_dropout"],
                   return_sequences=sequence)
        model.add(layers.Bidirectional(one) if c["bidirectional"] else one)
    if c["attention"]:
        model.add(Attention())
    outputs = 1 if c["classes"] == 2 else c["classes"]
    model.add(layers.Dense(outputs, activation=activation))
    return model


def cells_of(model):
    found = []
    for layer in model.layers:
        if isinstance(layer, layers.Bidirectional):
            found += [layer.forward_layer.cell, layer.backward_layer.cell]
        elif isinstance(layer, (layers.LSTM, layers.GRU)):
            found.append(layer.cell)
    return found


def names_of(model):
    """(name, variable) in model order: embedding, kernel.K, recurrent.K, bias.K, W, b, dense, dense_bias."""
    out, k = [("embedding", model.layers[0].embeddings)], 0
    for cell in cells_of(model):
        out += [(f"kernel.{k}", cell.kernel), (f"recurrent.{k}", cell.recurrent_kernel), (f"bias.{k}", cell.bias)]
        k += 1
    for layer in model.layers:
        if isinstance(layer, Attention):
            out += [("attention", layer.W), ("attention_bias", layer.b)]
    return out + [("dense", model.layers[-1].kernel), ("dense_bias", model.layers[-1].bias)]


def loss_and_gradients(c, model, ids, labels, training):
    variables = names_of(model)
    with tf.GradientTape() as tape:
        logits = model(ids, training=training)
        if c["classes"] == 2:
            cost = keras.losses.BinaryCrossentropy(from_logits=True)(labels[:, None].astype("float32"), logits)
        else:
            cost = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, logits)
        loss = cost + tf.add_n(model.losses)
    gradients = tape.gradient(loss, [v.value for _, v in variables])
    dense = {n: tf.convert_to_tensor(g).numpy() for (n, _), g in zip(variables, gradients)}
    return logits.numpy(), np.float32(loss), dense


def adam_losses(c, model, weights, ids, labels, steps):
    """What model.fit reports for each batch: the guide's own model, sigmoid and all."""
    model.set_weights(weights)
    model.compile(optimizer=keras.optimizers.Adam(), loss="binary_crossentropy" if c["classes"] == 2 else
                  "sparse_categorical_crossentropy")
    size, out = c["B"], []
    for step in range(steps):
        at = step * size % len(ids)
        model.reset_metrics()
        out.append(float(model.train_on_batch(ids[at:at + size], labels[at:at + size])))
    return np.array(out, dtype=np.float32)


def with_defaults(**given):
    c = dict(V=50, T=8, E=6, H=10, B=5, classes=2, layers=1, gru=False, attention=False, bidirectional=False, mask=False,
             dropout=0.3, recurrent_dropout=0.2, l2=1e-3)
    return {**c, **given}


def make_ids(c, rows):
    ids = 1 + (noise((rows, c["T"]), 1) * c["V"]).astype(np.int64)
    lengths = (noise((rows,), 2) * (c["T"] + 1)).astype(np.int64)
    if c["mask"]:
        lengths = np.maximum(lengths, 1)   # a fully masked row is Keras' own corner; ours is tested elsewhere
    ids[np.arange(c["T"])[None] >= lengths[:, None]] = 0
    return ids, lengths, (noise((rows,), 3) * c["classes"]).astype(np.int64)


def make_mask(shape, rate, salt):
    return np.where(noise(shape, salt) < rate, 0.0, 1.0 / (1.0 - rate)).astype(np.float32)


def case(name, rows=None, true_size=False, steps=0, compact=False, **given):
    c = with_defaults(**given)
    keras.utils.set_random_seed(7)
    model = build(c, None)
    model(np.zeros((1, c["T"]), dtype=np.int64))
    names = names_of(model)
    for salt, (n, v) in enumerate(names):
        if true_size or n in ("bias.0", "attention_bias", "dense_bias"):   # Keras starts these at constants
            v.assign((noise(v.shape, 100 + salt) - 0.5) * 0.2)
        elif n == "embedding":
            v.assign((noise(v.shape, 100) - 0.5) * 2)                      # ±.05 would leave the gates linear
    weights = {n: v.numpy() for n, v in names}
    start = model.get_weights()
    ids, lengths, labels = make_ids(c, rows or c["B"])
    batch, batch_labels = ids[:c["B"]], labels[:c["B"]]
    masks = {}
    for k, cell in enumerate(cells_of(model)):
        width = weights[f"kernel.{k}"].shape[0]
        masks[f"input_mask.{k}"] = make_mask((c["B"], width), c["dropout"], 200 + 2 * k)
        masks[f"recurrent_mask.{k}"] = make_mask((c["B"], c["H"]), c["recurrent_dropout"], 201 + 2 * k)
        cell.given = (masks[f"input_mask.{k}"], masks[f"recurrent_mask.{k}"])
    logits, loss, gradients = loss_and_gradients(c, model, batch, batch_labels, False)
    t_logits, t_loss, t_gradients = loss_and_gradients(c, model, batch, batch_labels, True)
    out = {"logits": logits, "loss": np.array([loss]), "train.logits": t_logits, "train.loss": np.array([t_loss])}
    if not true_size:
        out |= {"ids": ids, "lengths": lengths, "labels": labels} | masks
        out |= {"weight." + n: w for n, w in weights.items()}
        out |= {"grad." + n: g for n, g in gradients.items()}
    if compact:   # every 37th entry
        out |= {"train.grad37." + n: g.reshape(-1)[::37] for n, g in t_gradients.items()}
    else:
        out |= {"train.grad." + n: g for n, g in t_gradients.items()}
    if steps:
        plain = build({**c, "dropout": 0.0, "recurrent_dropout": 0.0}, "sigmoid" if c["classes"] == 2 else "softmax")
        out["adam.losses"] = adam_losses(c, plain, start, ids, labels, steps)
    meta = {k: str(v) for k, v in c.items()} | {"keras": keras.__version__, "true_size": str(true_size)}
    path = HERE / f"keras_{name}.safetensors"
    write(path, {k: np.asarray(v, dtype=np.int64 if v.dtype == np.int64 else np.float32) for k, v in out.items()}, meta)
    print(name, path.stat().st_size, "bytes, loss", float(loss), float(t_loss), out.get("adam.losses", [None])[-1])


def summaries():
    rows = {}
    for name, given in {"sentiment-lstm": {}, "sentiment-lstm-attention": {"attention": True},
                        "bidirectional": {"attention": True, "bidirectional": True, "layers": 2},
                        "gru": {"gru": True, "classes": 5}}.items():
        c = with_defaults(V=4000, T=32, E=32, H=100, **given)
        model = build(c, None)
        rows[name] = [{"type": type(layer).__name__, "shape": [-1 if d is None else d for d in layer.output.shape],
                       "parameters": layer.count_params()} for layer in model.layers]
    (HERE / "keras_summary.json").write_text(json.dumps({"vocabulary": 4000, "models": rows}, indent=1) + "\n")


if __name__ == "__main__":
    case("lstm", rows=40, steps=50)
    case("lstm_attention", rows=40, steps=50, attention=True)
    case("lstm_masked", rows=40, steps=50, mask=True)
    case("bidirectional", attention=True, bidirectional=True)
    case("bidirectional_last", bidirectional=True, mask=True)
    case("stacked", layers=2, classes=4, rows=40, steps=50)
    case("gru", gru=True, attention=True, rows=40, steps=50)
    case("gru_masked", gru=True, mask=True)
    guide = dict(V=300, T=32, E=32, H=100, B=100, true_size=True, rows=400, steps=50)
    case("guide", compact=True, **guide)
    case("guide_attention", attention=True, **guide)
    summaries()
