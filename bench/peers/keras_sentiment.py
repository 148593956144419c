#!/usr/bin/env python3
"""The guide's two sentiment models in Keras 3 on TensorFlow, as a user would write them.

  train FILE…    the whole job: read, tokenise, train, evaluate, save (--out FILE.keras)
  epoch FILE…    the same training, timed epoch by epoch; prints the median without the first (tracing, compiling)
  predict MODEL.keras SENTENCE    load and predict one sentence

Threads are limited to --threads (2) before TensorFlow starts. Runs from its own venv alone: bench/peers/README.md.
"""

import argparse
import json
import os
import statistics
import sys
import time

MAX_LENGTH = 32


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mode", choices=["train", "epoch", "predict"])
    parser.add_argument(
        "inputs", nargs="+", help="TSV files (sentence, tab, 0 or 1); for predict: model, sentence"
    )
    parser.add_argument(
        "--attention", action="store_true", help="all LSTM states and the attention layer"
    )
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", default="", help="where train saves the model")
    return parser.parse_args()


def start_keras(threads, seed):
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["OMP_NUM_THREADS"] = str(threads)
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    import keras

    keras.utils.set_random_seed(seed)
    return keras


def attention_layer(keras):
    @keras.saving.register_keras_serializable("guide")
    class Attention(keras.layers.Layer):
        """The guide's: e = tanh(x W + b), a = softmax over time, sum of a x; b has one value per position."""

        def build(self, shape):
            self.W = self.add_weight(name="att_weight", shape=(shape[-1], 1), initializer="normal")
            self.b = self.add_weight(name="att_bias", shape=(shape[1], 1), initializer="zeros")

        def call(self, x):
            e = keras.ops.tanh(keras.ops.matmul(x, self.W) + self.b)
            a = keras.ops.softmax(e, axis=1)
            return keras.ops.sum(x * a, axis=1)

    return Attention


def make_model(keras, vocabulary, attention):
    layers, regularizers = keras.layers, keras.regularizers
    model = keras.Sequential(
        [
            keras.Input((MAX_LENGTH,)),
            layers.Embedding(vocabulary + 1, 32, embeddings_regularizer=regularizers.l2(1e-3)),
            layers.LSTM(100, dropout=0.3, recurrent_dropout=0.2, return_sequences=attention),
            *([attention_layer(keras)()] if attention else []),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    return model


def read(files):
    texts, labels = [], []
    for path in files:
        with open(path, encoding="utf-8", newline="\n") as file:
            for line in file.read().split("\n"):
                if line:
                    text, label = line.rsplit("\t", 1)
                    texts.append(text)
                    labels.append(int(label))
    return texts, labels


def encode(keras, tokenizer, texts):
    from keras.utils import pad_sequences

    return pad_sequences(tokenizer.texts_to_sequences(texts), padding="post", maxlen=MAX_LENGTH)


def prepare(keras, files):
    import numpy
    from keras.src.legacy.preprocessing.text import Tokenizer

    texts, labels = read(files)
    tokenizer = Tokenizer()
    tokenizer.fit_on_texts(texts)
    return tokenizer, encode(keras, tokenizer, texts), numpy.array(labels)


def clock(keras, seconds):
    """A callback that appends the wall seconds of every epoch, validation included, to `seconds`."""

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.start = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            seconds.append(time.perf_counter() - self.start)

    return Clock()


def train(keras, arguments):
    tokenizer, x, y = prepare(keras, arguments.inputs)
    model = make_model(keras, len(tokenizer.word_index), arguments.attention)
    seconds, rows = [], len(x) - len(x) // 5
    split = 0.2
    if (
        arguments.mode == "epoch"
    ):  # the training rows alone: no validation pass inside the timed epoch
        x, y, split = x[:rows], y[:rows], 0.0
    history = model.fit(
        x,
        y,
        validation_split=split,
        epochs=arguments.epochs,
        batch_size=100,
        verbose=0,
        callbacks=[clock(keras, seconds)],
    )
    if arguments.out:
        model.save(arguments.out)
        with open(arguments.out + ".words.json", "w", encoding="utf-8") as file:
            file.write(tokenizer.to_json())
    return {
        "rows": rows,
        "vocabulary": len(tokenizer.word_index),
        "parameters": int(model.count_params()),
        "epoch_seconds": seconds,
        "steady_epoch_seconds": statistics.median(seconds[1:] or seconds),
        "metrics": {name: values[-1] for name, values in history.history.items()},
    }


def predict(keras, path, sentence):
    from keras.src.legacy.preprocessing.text import tokenizer_from_json

    attention_layer(keras)  # registers the class that the file names
    model = keras.saving.load_model(path)
    with open(path + ".words.json", encoding="utf-8") as file:
        tokenizer = tokenizer_from_json(file.read())
    probability = float(model.predict(encode(keras, tokenizer, [sentence]), verbose=0)[0, 0])
    return {"input": sentence, "probability": probability}


def main():
    arguments = parse_arguments()
    keras = start_keras(arguments.threads, arguments.seed)
    if arguments.mode == "predict":
        result = predict(keras, *arguments.inputs)
    else:
        result = train(keras, arguments)
    print(json.dumps(result))


if __name__ == "__main__":
    sys.exit(main())
