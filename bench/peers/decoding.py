#!/usr/bin/env python3
"""Decoding of a Transformer beside CTranslate2's, turn by turn on the same machine: one set of random weights in both.

`attend_decoding` makes the model and saves its weights, which become a model of CTranslate2 here. Before anything is timed both
translate 8 sentences in float32, and must agree (check()). Random weights
rarely end a sentence, so the work is fixed: every translation takes --steps steps of the decoder (ours: steps − 1 tokens, then the
end is forced; CTranslate2: min and max_decoding_length, whose last token is free). Each turn times ours, then theirs, on
the same sentences and threads, encoder included, ids or tokens in memory to ids or tokens in memory. Figures are medians over
--turns of medians. Prints a table; with --json one document in the schema of `attend_bench --json`.
"""

import argparse
import json
import pathlib
import random
import statistics
import struct
import subprocess
import sys
import tempfile
import time

import ctranslate2
import numpy as np
from ctranslate2.specs import TransformerSpec

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MODELS = {
    "d128": {"width": 128, "layers": 4, "heads": 4, "feed-forward": 512},
    "d512": {"width": 512, "layers": 6, "heads": 8, "feed-forward": 2048},
}
VOCABULARY, LENGTH = 10000, 14
TOKENS = ["<blank>", "<unk>", "<s>", "</s>"] + [f"w{i}" for i in range(4, VOCABULARY)]
PEER = f"ctranslate2 {ctranslate2.__version__}"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build/release/bin/attend_decoding"), help="attend_decoding, or attend_bench beside it")
    parser.add_argument("--model", choices=MODELS, action="append", help="only these (all)")
    parser.add_argument("--norm-last", action="store_true", help="norms as in the paper instead of first")
    parser.add_argument("--precision", choices=["float32", "int8"], action="append", help="only these (both)")
    parser.add_argument("--case", choices=["64x1", "64x5", "1x1"], action="append", help="sentences × beam: only these (all)")
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--threads", default="1,2", help="comma-separated (1,2)")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each side in a turn, at least three runs (0.3)")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    return parser.parse_args()


def read_safetensors(path):
    data = pathlib.Path(path).read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        first, last = (8 + size + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(data[first:last], np.float32).reshape(entry["shape"])
    return tensors


def positions(length, width):
    """Ours: sine and cosine side by side (Vaswani et al. 2017, §3.5), where CTranslate2 has halves."""
    angle = np.arange(length)[:, None] * 10000.0 ** (-(np.arange(width) // 2 * 2) / width)
    return np.where(np.arange(width) % 2 == 0, np.sin(angle), np.cos(angle)).astype(np.float32)


def fill_linear(spec, weight, bias):
    spec.weight, spec.bias = np.ascontiguousarray(weight), np.ascontiguousarray(bias)


def fill_norm(spec, tensors, name):
    spec.gamma, spec.beta = tensors[name + ".weight"], tensors[name + ".bias"]


def fill_attention(spec, tensors, name, across):
    weight, bias = tensors[name + ".in_proj_weight"], tensors[name + ".in_proj_bias"]
    if across:
        width = weight.shape[1]
        fill_linear(spec.linear[0], weight[:width], bias[:width])
        fill_linear(spec.linear[1], weight[width:], bias[width:])
    else:
        fill_linear(spec.linear[0], weight, bias)
    fill_linear(spec.linear[-1], tensors[name + ".out_proj.weight"], tensors[name + ".out_proj.bias"])


def fill_stack(spec, tensors, side, pre_norm):
    spec.position_encodings.encodings = positions(256, tensors["output.weight"].shape[1])
    if pre_norm:
        fill_norm(spec.layer_norm, tensors, f"{side}.norm")
    for k, layer in enumerate(spec.layer):
        name = f"{side}.layers.{k}"
        norms = iter(("norm1", "norm2", "norm3"))
        fill_attention(layer.self_attention, tensors, f"{name}.self_attn", False)
        fill_norm(layer.self_attention.layer_norm, tensors, f"{name}.{next(norms)}")
        if side == "decoder":
            fill_attention(layer.attention, tensors, f"{name}.multihead_attn", True)
            fill_norm(layer.attention.layer_norm, tensors, f"{name}.{next(norms)}")
        fill_norm(layer.ffn.layer_norm, tensors, f"{name}.{next(norms)}")
        for theirs, ours in ((layer.ffn.linear_0, "linear1"), (layer.ffn.linear_1, "linear2")):
            fill_linear(theirs, tensors[f"{name}.{ours}.weight"], tensors[f"{name}.{ours}.bias"])


def convert(weights, model, pre_norm, folder):
    """The weights that attend_decoding saved, as a model of CTranslate2 in `folder`."""
    tensors = read_safetensors(weights)
    spec = TransformerSpec.from_config(model["layers"], model["heads"], pre_norm=pre_norm)
    fill_stack(spec.encoder, tensors, "encoder", pre_norm)
    fill_stack(spec.decoder, tensors, "decoder", pre_norm)
    spec.encoder.embeddings[0].weight = tensors["encoder.embedding.weight"]
    spec.decoder.embeddings.weight = tensors["decoder.embedding.weight"]
    fill_linear(spec.decoder.projection, tensors["output.weight"], tensors["output.bias"])
    spec.register_source_vocabulary(TOKENS)
    spec.register_target_vocabulary(TOKENS)
    spec.validate()
    spec.optimize()
    folder.mkdir()
    spec.save(str(folder))


class Ours:
    def __init__(self, program, model, pre_norm, weights):
        command = [program, str(weights), "--vocabulary", str(VOCABULARY)]
        for name, value in model.items():
            command += [f"--{name}", str(value)]
        command += [] if pre_norm else ["--norm-last"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, sources, beam, precision, threads, arguments, seconds):
        wanted = {"sources": sources, "beam": beam, "precision": precision, "threads": threads, "steps": arguments.steps, "seconds": seconds}
        print(json.dumps(wanted), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            sys.exit("decoding.py: attend_decoding failed; its message is above")
        return json.loads(line)


class Theirs:
    def __init__(self, folder, precision, threads):
        self.translator = ctranslate2.Translator(str(folder), device="cpu", compute_type=precision, intra_threads=threads)

    def run(self, sources, beam, arguments, hypotheses=1):
        return self.translator.translate_batch(
            sources, beam_size=beam, num_hypotheses=hypotheses, length_penalty=0, max_batch_size=0, return_scores=hypotheses > 1,
            min_decoding_length=arguments.steps, max_decoding_length=arguments.steps,
        )

    def milliseconds(self, sources, beam, arguments):
        taken, end = [], time.perf_counter() + arguments.seconds
        while time.perf_counter() < end or len(taken) < 3:
            start = time.perf_counter()
            self.run(sources, beam, arguments)
            taken.append(time.perf_counter() - start)
        return 1e3 * statistics.median(taken)


def sources_of(count):
    draw = random.Random(1)
    return [[draw.randrange(4, VOCABULARY) for _ in range(LENGTH)] for _ in range(count)]


def words(sources):
    return [[TOKENS[i] for i in source] for source in sources]


def check(ours, folder, arguments, threads=2):
    """Both are the same model in float32. Greedy search gives the same tokens: ours ends after steps − 1, so theirs gets one step
    less, the same free tokens. CTranslate2 scores every hypothesis of our beam search as we do; and its own search finds the same
    five for most sentences (where two candidates are equal to rounding it may go another way)."""
    fewer = argparse.Namespace(**{**vars(arguments), "steps": arguments.steps - 1})
    theirs, sources = Theirs(folder, "float32", threads), sources_of(8)
    text = lambda hypothesis: [TOKENS[t] for t in hypothesis["tokens"]]
    greedy = ours.run(sources, 1, "float32", threads, arguments, 0)["hypotheses"]
    for mine, peer in zip(greedy, theirs.run(words(sources), 1, fewer)):
        if text(mine[0]) != peer.hypotheses[0]:
            sys.exit(f"decoding.py: greedy search: ours\n{text(mine[0])}\n{PEER}\n{peer.hypotheses[0]}")
    found = ours.run(sources, 5, "float32", threads, arguments, 0)["hypotheses"]
    for source, hypotheses in zip(words(sources), found):
        scores = theirs.translator.score_batch([source] * len(hypotheses), [text(h) for h in hypotheses])
        for mine, peer in zip(hypotheses, scores):
            if not abs(mine["log_probability"] - sum(peer.log_probs)) < 0.01:
                sys.exit(f"decoding.py: log p {mine['log_probability']}, {PEER}: {sum(peer.log_probs)}")
    peers = theirs.run(words(sources), 5, fewer, hypotheses=5)
    same = sum(sorted(map(text, mine)) == sorted(peer.hypotheses) for mine, peer in zip(found, peers))
    if same < 6:
        sys.exit(f"decoding.py: beam search finds the same hypotheses for {same} sentences of 8 only")


def operations(model, sentences, beam, steps):
    """Multiplications and additions of the matrix products alone: encoder, keys and values of the source, decoder, vocabulary."""
    width, inner, layers = model["width"], model["feed-forward"], model["layers"]
    encoder = layers * (4 * width**2 + 2 * width * inner)
    keys = layers * 2 * width**2
    decoder = layers * (6 * width**2 + 2 * width * inner) + width * VOCABULARY
    return 2 * sentences * (LENGTH * (encoder + keys) + beam * steps * decoder)


def limit_ms(model, sentences, beam, steps, answer, precision):
    """No program can be quicker: operations at the multipliers' peak (four times float32's in int8), or every weight of the encoder
    once and of the decoder once a step at the speed of reading as much memory."""
    width, inner, layers = model["width"], model["feed-forward"], model["layers"]
    encoder = layers * (6 * width**2 + 2 * width * inner)  # with the projections of its states to keys and values
    decoder = layers * (6 * width**2 + 2 * width * inner) + width * VOCABULARY
    size, speed = (1, 4) if precision == "int8" else (4, 1)
    computing = operations(model, sentences, beam, steps) / (speed * answer["peak_gflops"] * 1e6)
    return max(computing, size * (encoder + steps * decoder) / (answer["read_gbps"] * 1e6))


def row(name, model, case, precision, threads, answers, theirs, arguments):
    sentences, beam = case
    ours = [answer["ms"] for answer in answers]
    mine, peer = statistics.median(ours), statistics.median(theirs)
    peak = max(answer["peak_gflops"] for answer in answers) * (4 if precision == "int8" else 1)
    best = {key: max(answer[key] for answer in answers) for key in ("peak_gflops", "read_gbps")}
    gflops = operations(model, sentences, beam, arguments.steps) / mine / 1e6
    return {
        "op": "decoding", "direction": "inference", "dtype": precision, "threads": threads,
        "shape": {"C": model["width"], "layers": model["layers"], "sentences": sentences, "beam": beam, "norm_last": int(arguments.norm_last)},
        "ours_ms": round(mine, 4), "peer": PEER, "peer_ms": round(peer, 4), "ratio": round(peer / mine, 3),
        "gflops": round(gflops, 2), "fraction_of_peak": round(gflops / peak, 4), "peak_gflops": round(peak, 1),
        "read_gbps": round(best["read_gbps"], 1), "limit_ms": round(limit_ms(model, sentences, beam, arguments.steps, best, precision), 4),
        "ours_range_ms": [round(min(ours), 3), round(max(ours), 3)], "peer_range_ms": [round(min(theirs), 3), round(max(theirs), 3)],
        "tokens_per_second": round(sentences * arguments.steps / mine * 1e3), "runs": len(ours),
    }


def measure(name, arguments, program, folder):
    model, weights = MODELS[name], folder / f"{name}.safetensors"
    ours = Ours(program, model, not arguments.norm_last, weights)
    ours.run(sources_of(1), 1, "float32", 1, arguments, 0)  # the weights are written before the first answer
    convert(weights, model, not arguments.norm_last, folder / name)
    check(ours, folder / name, arguments)
    for precision in arguments.precision or ["float32", "int8"]:
        for threads in map(int, arguments.threads.split(",")):
            theirs = Theirs(folder / name, precision, threads)
            for case in arguments.case or ["64x1", "64x5", "1x1"]:
                sentences, beam = map(int, case.split("x"))
                sources = sources_of(sentences)
                theirs.run(words(sources), beam, arguments)
                taken = {"ours": [], "theirs": []}
                for _ in range(arguments.turns):
                    taken["ours"].append(ours.run(sources, beam, precision, threads, arguments, arguments.seconds))
                    taken["theirs"].append(theirs.milliseconds(words(sources), beam, arguments))
                yield row(name, model, (sentences, beam), precision, threads, taken["ours"], taken["theirs"], arguments)


def main():
    arguments = parse_arguments()
    program = str(pathlib.Path(arguments.program).with_name("attend_decoding"))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.model or MODELS:
            for r in measure(name, arguments, program, pathlib.Path(folder)):
                s = r["shape"]
                print(
                    f"{name} {r['dtype']}, {s['sentences']} sentences, beam {s['beam']}, {r['threads']} threads: {r['ours_ms']:.2f} ms "
                    f"({r['tokens_per_second']} tokens/s, {r['gflops']:.0f} G/s, {100 * r['fraction_of_peak']:.0f} % of peak, "
                    f"limit {r['limit_ms']:.2f} ms), {PEER} {r['peer_ms']:.2f} ms, {r['ratio']:.2f}×",
                    file=sys.stderr if arguments.json else sys.stdout, flush=True,
                )
                rows.append(r)
    if arguments.json:
        print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
