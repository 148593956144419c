#!/usr/bin/env python3
"""Fine-tuning MiniLM: epochs of `attend train classification/minilm` beside eager PyTorch with `transformers`, turn by turn.

Both sides train the same encoder with a mean over the real tokens, dropout 0.1 and a linear map, on the same sentences (the first --rows of
uci-sentiment's Yelp) in batches of --batch in random order, with clipping at norm 1 and AdamW over all weights, in float32 with as many
threads. PyTorch pads each batch to its longest sentence; texts become ids before its clock starts, as before ours. Each side is a process of
its own that trains three epochs; the first one warms up and is dropped. Figures are medians over all epochs that count.

    python bench/peers/bert.py [--rows 200] [--turns 3]        (any Python with torch 2.13 and transformers 4.57)
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
EPOCHS = 3


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=str(ROOT / "build/release/bin/attend"))
    parser.add_argument("--encoder", required=True, help="folder of minilm (`attend data get minilm` prints it)")
    parser.add_argument("--data", required=True, help="uci-sentiment's yelp_labelled.txt")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--side", choices=["peer"], help=argparse.SUPPRESS)
    return parser.parse_args()


def read_rows(arguments):
    lines = pathlib.Path(arguments.data).read_text(encoding="utf-8").splitlines()[: arguments.rows]
    return [(text, int(label)) for text, label in (line.rsplit("\t", 1) for line in lines)]


def ours(arguments, folder):
    """Seconds of each epoch, as the program reports them."""
    file = folder / "rows.tsv"
    names = ("negative", "positive")
    file.write_text("".join(f"{text}\t{names[label]}\n" for text, label in read_rows(arguments)), encoding="utf-8")
    settings = {"data.test": 0, "data.extra": "", "train.epochs": EPOCHS, "train.batch": arguments.batch, "model.pretrained": arguments.encoder}
    command = [arguments.program, "train", "classification/minilm", "--data", str(file), "--threads", str(arguments.threads), "--json",
               "--out", str(folder / f"run-{time.monotonic_ns()}")]
    for key, value in settings.items():
        command += ["--set", f"{key}={value}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"bert.py: {done.stderr}")
    return json.loads(done.stdout)["seconds"]["epochs"]


def peer(arguments):
    """The same in PyTorch, as its documentation writes it."""
    import torch
    import transformers

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    rows = read_rows(arguments)
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.encoder)
    ids = tokenizer([text for text, _ in rows], truncation=True, max_length=128)["input_ids"]
    labels = torch.tensor([float(label) for _, label in rows])
    encoder = transformers.BertModel.from_pretrained(arguments.encoder, add_pooling_layer=False)
    head = torch.nn.Sequential(torch.nn.Dropout(0.1), torch.nn.Linear(encoder.config.hidden_size, 1))
    encoder.train()
    parameters = [*encoder.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=5e-5, weight_decay=0.01)
    seconds = []
    for _ in range(EPOCHS):
        start = time.perf_counter()
        order = torch.randperm(len(rows))
        for chosen in order.split(arguments.batch):
            batch = tokenizer.pad({"input_ids": [ids[i] for i in chosen]}, return_tensors="pt")
            optimizer.zero_grad()
            states = encoder(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(2)
            logits = head((states * mask).sum(1) / mask.sum(1)).squeeze(1)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels[chosen])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
        seconds.append(time.perf_counter() - start)
    return seconds


def main():
    arguments = parse_arguments()
    if arguments.side == "peer":
        print(json.dumps(peer(arguments)))
        return
    samples = {"ours": [], "peer": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.turns):
            samples["ours"] += ours(arguments, pathlib.Path(folder))[1:]
            again = [sys.executable, __file__, *sys.argv[1:], "--side", "peer"]
            done = subprocess.run(again, stdout=subprocess.PIPE, text=True, check=True, env=dict(os.environ, TRANSFORMERS_VERBOSITY="error"))
            samples["peer"] += json.loads(done.stdout)[1:]
    medians = {side: statistics.median(values) for side, values in samples.items()}
    steps = -(-arguments.rows // arguments.batch)
    for side, values in samples.items():
        print(f"{side}: {1e3 * medians[side] / steps:.1f} ms a step, epochs of {' '.join(f'{v:.2f}' for v in values)} s")
    print(f"ratio {medians['peer'] / medians['ours']:.2f}")


if __name__ == "__main__":
    main()
