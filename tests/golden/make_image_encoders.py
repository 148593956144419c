#!/usr/bin/env python3
"""Writes mobilenet.h5 (a tiny MobileNet v1 with random weights, as Keras saves it) and image_encoders.safetensors: what Keras computes
in float64 of one made image for that network and for the two real ones of the catalogue's imagenet-cnn, and how far off Keras itself is
in float32, as a share of the largest annotation.

usage: bench/peers/.venv/bin/python tests/golden/make_image_encoders.py FOLDER_OF_IMAGENET_CNN

keras.applications has MobileNet. SqueezeNet is built from Keras' convolutions and poolings after the folder's prototxt, its weights decoded
here from the layout that SOURCE.txt describes. The image is p[y,x,c] = (7x + 13y + 29c + xy) mod 256 of 64 × 64, with the margin of the
mean colour that docs/captioning.md describes. --look FILE.jpg … prints what the real networks take photographs for.
"""
import os
import pathlib
import struct
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras  # noqa: E402
import h5py  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow  # noqa: E402
from make_keras import write  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
SIZE = 64
LAST = {8: "conv_pw_5_relu", 16: "conv_pw_11_relu", 32: "conv_pw_13_relu"}   # MobileNet's layer of a stride
FIRES = [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)]


def image():
    y, x, c = np.ogrid[:SIZE, :SIZE, :3]
    return ((7 * x + 13 * y + 29 * c + x * y) % 256).astype(keras.config.floatx())


def with_margin(inputs, before, after):
    return np.pad(inputs, ((before, after), (before, after), (0, 0)))[None]


def mobilenet_features(model, stride):
    cut = keras.Model(model.input, model.get_layer(LAST[stride]).output)
    return cut(with_margin(image() / 127.5 - 1, stride // 2, 0)).numpy()[0]


def mobilenet(alpha, size):
    return keras.applications.MobileNet(input_shape=(size, size, 3), alpha=alpha, include_top=False, weights=None)


def set_weights(model, layers):
    for layer in model.layers:
        if layer.weights:
            layer.set_weights([layers[layer.name][w.path.split("/")[-1]] for w in layer.weights])


def keras_weights(path):
    """{layer: {name: array}}, with today's name for a depthwise kernel."""
    out = {}
    with h5py.File(path) as file:
        root = file["model_weights"] if "model_weights" in file else file
        for layer, group in root.items():
            names = [n.decode() if isinstance(n, bytes) else n for n in group.attrs["weight_names"]]
            out[layer] = {n.split("/")[-1].removesuffix(":0").replace("depthwise_kernel", "kernel"): group[n][()] for n in names}
    return out


def tiny_mobilenet():
    keras.utils.set_random_seed(4)
    model, rng = mobilenet(1 / 32, SIZE), np.random.default_rng(5)
    for layer in model.layers:
        drawn = []
        for w in layer.weights:
            name = w.path.split("/")[-1]
            x = rng.standard_normal(w.shape) * {"kernel": 0.6, "moving_mean": 0.3}.get(name, 0.4)
            drawn.append(np.abs(x) + 0.5 if name == "moving_variance" else x + (1.2 if name == "gamma" else 0.3 if name == "beta" else 0))
        if drawn:
            layer.set_weights(drawn)
    with h5py.File(os.path.join(HERE, "mobilenet.h5"), "w", libver="latest") as file:   # the names that Keras 2 gives, which files have
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = []
            for w in layer.weights:
                name = w.path.split("/")[-1]
                if isinstance(layer, keras.layers.DepthwiseConv2D):
                    name = "depthwise_kernel"
                names.append(f"{layer.name}/{name}:0")
                group.create_dataset(names[-1], data=w.numpy())
            group.attrs["weight_names"] = [n.encode() for n in names]
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        file.attrs["backend"], file.attrs["keras_version"] = "tensorflow", "2.15.0"


def squeezenet_weights(path):
    """[(weight [O,I,K,K], bias [O])] of conv1, fire2 … fire9, conv10."""
    shapes, inputs = [(96, 3, 7)], 96
    for squeeze, expand in FIRES:
        shapes += [(squeeze, inputs, 1), (expand, squeeze, 1), (expand, squeeze, 3)]
        inputs = 2 * expand
    shapes.append((1000, inputs, 1))
    data = open(path, "rb").read()
    counts, at, out = struct.unpack("<26I", data[:104]), 104, []
    for (o, i, k), n in zip(shapes, counts):
        book, bias = np.frombuffer(data, "<f4", 256, at), np.frombuffer(data, "<f4", o, at + 1024)
        at += 1024 + 4 * o
        codes = np.frombuffer(data, np.uint8, n, at)
        packed = np.frombuffer(data, np.uint8, (n + 1) // 2, at + n)
        at += n + (n + 1) // 2
        gaps = np.stack([packed & 15, packed >> 4], 1).ravel()[:n].astype(np.int64)
        flat = np.zeros(o * i * k * k, np.float32)
        flat[np.cumsum(gaps + 1) - 1] = book[codes]
        out.append((flat.reshape(o, i, k, k), bias))
    assert at == len(data)
    return out


def squeezenet(path, size, stride, head=False):
    """Keras' layers after SqueezeNet_deploy.prototxt, with weights."""
    layers = keras.layers
    values, weights = [], iter(squeezenet_weights(path))

    def convolution(x, k, step=1, padding="valid"):
        w, b = next(weights)
        values.append([w.transpose(2, 3, 1, 0), b])
        return layers.Conv2D(w.shape[0], k, step, padding=padding, activation="relu", name=f"c{len(values)}")(x)

    x = given = layers.Input((size, size, 3))
    x = convolution(x, 7, 2)
    for i in range(8):
        if i in (0, 3, 7):
            if i == 7 and stride == 8:
                break
            x = layers.MaxPooling2D(3, 2)(x)
        x = convolution(x, 1)
        x = layers.Concatenate()([convolution(x, 1), convolution(x, 3, padding="same")])
    if head:
        x = layers.GlobalAveragePooling2D()(convolution(x, 1))
    model = keras.Model(given, x)
    for i, pair in enumerate(values):
        model.get_layer(f"c{i + 1}").set_weights(pair)
    return model


def squeezenet_inputs(pixels):
    return pixels[..., ::-1] - np.array([104, 117, 123], pixels.dtype)


def look(folder, photographs):
    labels = [line.strip() for line in open(os.path.join(folder, "imagenet_labels.txt"))]
    labels = labels[1:] if labels[0] == "background" else labels
    mobile = keras.applications.MobileNet(input_shape=(128, 128, 3), alpha=0.25, include_top=False, weights=None)
    top = keras_weights(os.path.join(folder, "mbnet128_0.25.h5"))
    set_weights(mobile, top)
    squeeze = squeezenet(os.path.join(folder, "compressed_SqueezeNet.net"), 227, 16, head=True)
    for path in photographs:
        def read(side):
            pixels = tensorflow.io.decode_jpeg(open(path, "rb").read(), channels=3)
            return tensorflow.image.resize(pixels, (side, side), antialias=True).numpy()
        pooled = mobile(read(128)[None] / 127.5 - 1).numpy().mean((1, 2))
        scores = pooled @ top["conv_preds"]["kernel"][0, 0] + top["conv_preds"]["bias"]
        other = squeeze(squeezenet_inputs(read(227))[None]).numpy()
        print(os.path.basename(path), "| MobileNet:", [labels[i] for i in np.argsort(-scores[0])[:3]],
              "| SqueezeNet:", [labels[i] for i in np.argsort(-other[0])[:3]])


def main(folder, *rest):
    if rest[:1] == ("--look",):
        return look(folder, rest[1:])
    tiny_mobilenet()
    single, golden = features(folder), {}
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    for name, truth in features(folder).items():
        side, width = truth.shape[0], truth.shape[2]
        assert truth.shape == (SIZE // int(name.split(".")[1]),) * 2 + (width,), (name, truth.shape)
        off = np.abs(single[name] - truth).max() / np.abs(truth).max()
        every = truth.reshape(side * side, width)[:, :: max(1, width // 32)]   # every so many channels
        golden[name], golden[name + ".float32"] = every.astype(np.float32), np.array([off])
        print(name, truth.shape, "mean", truth.mean(), "of 0:", (truth == 0).mean(), "float32 is off by", off)
    write(pathlib.Path(HERE, "image_encoders.safetensors"), golden, {})


def features(folder):
    """{NETWORK.STRIDE: map} in Keras' current floatx."""
    golden = {}
    values = keras_weights(os.path.join(HERE, "mobilenet.h5"))
    real = keras_weights(os.path.join(folder, "mbnet128_0.25.h5"))
    for stride in (8, 16, 32):
        for name, alpha, weights in (("tiny", 1 / 32, values), ("mobilenet", 0.25, real)):
            model = mobilenet(alpha, SIZE + stride // 2)
            set_weights(model, weights)
            golden[f"{name}.{stride}"] = mobilenet_features(model, stride)
    for stride, margin in ((8, (6, 5)), (16, (10, 9))):
        model = squeezenet(os.path.join(folder, "compressed_SqueezeNet.net"), SIZE + sum(margin), stride)
        golden[f"squeezenet.{stride}"] = model(with_margin(squeezenet_inputs(image()), *margin)).numpy()[0]
    return golden


if __name__ == "__main__":
    main(*sys.argv[1:])
