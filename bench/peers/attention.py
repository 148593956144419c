#!/usr/bin/env python3
"""Scaled dot-product attention of onnxruntime and OpenVINO beside attend's, turn by turn on the same machine, forward only.

The shapes are those of `attend_bench sdpa` that have no option or only `causal`. Each turn times ours in a process of
attend_bench (which measures it beside libtorch's, in the same process), then onnxruntime's `Attention` (opset 23), then
OpenVINO's `ScaledDotProductAttention`, each on tensors that are allocated and filled once, in float32, with as many threads.
Before anything is timed, both must agree with the equations in numpy. Every figure is a median over --turns of medians.
Prints a table; with --json one document in the schema of `attend_bench --json`.
"""

import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys
import time

import numpy as np
import onnxruntime
import openvino
from onnx import TensorProto, helper
from openvino import opset13

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
CASE = re.compile(r"sdpa forward B(\d+) H(\d+) L(\d+) D(\d+)( causal1)? float32")


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--program", default=str(ROOT / "build/release/bin/attend_bench"))
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.25, help="of each side in a turn (0.25)")
    parser.add_argument("--threads", default="1,2", help="comma-separated (1,2)")
    parser.add_argument("--case", action="append", help="only these lines of `attend_bench --list`")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    return parser.parse_args()


class OnnxRuntime:
    name = f"onnxruntime {onnxruntime.__version__}"

    def __init__(self, inputs, causal, threads):
        shape = list(inputs[0].shape)
        value = lambda n: helper.make_tensor_value_info(n, TensorProto.FLOAT, shape)
        node = helper.make_node("Attention", ["q", "k", "v"], ["y"], is_causal=int(causal))
        graph = helper.make_graph([node], "attention", [value(n) for n in "qkv"], [value("y")])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.output = onnxruntime.OrtValue.ortvalue_from_numpy(np.empty(shape, np.float32))
        self.binding = self.session.io_binding()
        for name, x in zip("qkv", inputs):
            self.binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(x))
        self.binding.bind_ortvalue_output("y", self.output)

    def run(self):
        self.session.run_with_iobinding(self.binding)

    def result(self):
        return self.output.numpy()


class OpenVino:
    name = f"openvino {openvino.__version__.split('-')[0]}"

    def __init__(self, inputs, causal, threads):
        parameters = [opset13.parameter(list(x.shape), np.float32) for x in inputs]
        attention = opset13.scaled_dot_product_attention(*parameters, causal=causal)
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",  # it would take bfloat16 where the processor has it
        }
        compiled = openvino.Core().compile_model(
            openvino.Model([attention], parameters), "CPU", settings
        )
        self.request = compiled.create_infer_request()
        for i, x in enumerate(inputs):
            self.request.set_input_tensor(i, openvino.Tensor(x, shared_memory=True))

    def run(self):
        self.request.infer()

    def result(self):
        return self.request.get_output_tensor().data


def equations(q, k, v, causal):
    s = np.einsum("bhid,bhjd->bhij", q, k) / np.sqrt(q.shape[-1])
    if causal:
        s = np.where(np.tri(*s.shape[-2:], dtype=bool), s, -np.inf)
    w = np.exp(s - s.max(-1, keepdims=True))
    return np.einsum("bhij,bhjd->bhid", w / w.sum(-1, keepdims=True), v)


def milliseconds(run, seconds):
    """The median of timings that last at least 2 ms each, over about `seconds`."""
    run()
    start = time.perf_counter()
    run()
    repeats = max(1, int(2e-3 / (time.perf_counter() - start)))
    taken, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken) < 3:
        start = time.perf_counter()
        for _ in range(repeats):
            run()
        taken.append((time.perf_counter() - start) / repeats)
    return 1e3 * statistics.median(taken)


def ours(arguments, line, threads):
    command = [arguments.program, "--case", line, "--threads", str(threads), "--json"]
    limits = ["--alternations", "3", "--seconds", str(arguments.seconds), "--patience"]
    done = subprocess.run(
        [*command, *limits, str(2 * arguments.seconds)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)["rows"][0]


def measure(arguments, line, threads):
    batch, heads, length, width = map(int, CASE.fullmatch(line).groups()[:4])
    causal = "causal" in line
    random = np.random.default_rng(1)
    shape = (batch, heads, length, width)
    inputs = [random.standard_normal(shape, dtype=np.float32) for _ in range(3)]
    truth = equations(*(x[:1, :1].astype(np.float64) for x in inputs), causal)
    peers = [kind(inputs, causal, threads) for kind in (OnnxRuntime, OpenVino)]
    for peer in peers:
        peer.run()
        error = np.abs(peer.result()[:1, :1] - truth).max()
        if not error < 1e-4:
            sys.exit(f"attention.py: {peer.name} is off by {error} at {line}")
    taken, rows = {peer.name: [] for peer in peers}, []
    for _ in range(arguments.turns):
        rows.append(ours(arguments, line, threads))
        for peer in peers:
            taken[peer.name].append(milliseconds(peer.run, arguments.seconds))
    row = sorted(rows, key=lambda r: r["ours_ms"])[len(rows) // 2]
    for name, samples in taken.items():
        theirs = statistics.median(samples)
        ratio = round(theirs / row["ours_ms"], 3)
        yield {**row, "peer": name, "peer_ms": round(theirs, 5), "ratio": ratio, "runs": len(rows)}


def main():
    arguments = parse_arguments()
    listed = subprocess.run(
        [arguments.program, "sdpa", "--list"], capture_output=True, text=True, check=True
    )
    lines = [line for line in listed.stdout.splitlines() if CASE.fullmatch(line)]
    rows = []
    for line in arguments.case or lines:
        for threads in map(int, arguments.threads.split(",")):
            for row in measure(arguments, line, threads):
                print(
                    f"{line}, {threads} threads: {row['ours_ms']:.3f} ms, {row['peer']} "
                    f"{row['peer_ms']:.3f} ms, {row['ratio']:.2f}×",
                    file=sys.stderr if arguments.json else sys.stdout,
                )
                rows.append(row)
    if arguments.json:
        print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
