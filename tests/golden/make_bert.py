"""Golden files of tests/models/bert_test.cpp and tests/train/bert_training_test.cpp: a tiny BERT that `transformers` made.

    python tests/golden/make_bert.py [MINILM]       (needs torch 2.13, safetensors, tokenizers and transformers 4.57)

bert/ is a folder as save_pretrained leaves it (random weights in float32, a vocabulary that spells words of the generated
reviews). bert.safetensors holds, for "plain" (gelu) and "tanh" (gelu_new): the last hidden states of the valid rows and every
layer's attention, computed in float64 from those weights; and the inputs.

With MINILM, the folder that `attend data get minilm` prints, minilm.safetensors is made too: ids of three sentences and every 48th column of
their hidden states, again in float64.
"""
import sys
from pathlib import Path

import tokenizers
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

HERE = Path(__file__).parent
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["the", "was", "and", "so", "not", "great", "good", "awful", "bad", "##ly", "##ing", ".", ",", "!"]
LETTERS = "abcdefghijklmnopqrstuvwxyz'"
VOCABULARY = SPECIAL + WORDS + list(LETTERS) + ["##" + c for c in LETTERS[:26]]
LENGTHS = [7, 4, 2]


def main():
    torch.manual_seed(1)
    config = BertConfig(vocab_size=len(VOCABULARY), hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12,
                        max_position_embeddings=40, type_vocab_size=2)
    model = BertModel(config, add_pooling_layer=False).eval()
    with torch.no_grad():
        for p in model.parameters():   # biases and norms start at 0 and 1, which would hide a forgotten one
            p.copy_(torch.randn_like(p) * 0.4 + (p == 1).all() * 1.0)
    folder = HERE / "bert"
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("".join(w + "\n" for w in VOCABULARY))
    tokenizer = tokenizers.BertWordPieceTokenizer(vocab={w: i for i, w in enumerate(VOCABULARY)}, lowercase=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    ids = torch.randint(5, len(VOCABULARY), (3, max(LENGTHS)))
    types = torch.randint(0, 2, ids.shape)
    mask = torch.arange(ids.shape[1])[None] < torch.tensor(LENGTHS)[:, None]
    out = {"ids": ids, "token_types": types, "lengths": torch.tensor(LENGTHS)}
    for name, act in (("plain", "gelu"), ("tanh", "gelu_new")):
        config.hidden_act, config._attn_implementation = act, "eager"
        twin = BertModel(config, add_pooling_layer=False).double().eval()
        twin.load_state_dict({k: v.double() for k, v in model.state_dict().items()})
        with torch.no_grad():
            result = twin(ids, attention_mask=mask.long(), token_type_ids=types, output_attentions=True)
        out[name + "/hidden"] = result.last_hidden_state[mask]
        for k, weights in enumerate(result.attentions):
            out[f"{name}/attention/{k}"] = weights * mask[:, None, :, None]
    save_file({k: v.contiguous() for k, v in out.items()}, HERE / "bert.safetensors", {"format": "pt"})


SENTENCES = ["Great phone, bad battery.", "Café NAÏVE — 中文 and 😀: the unaffable waiter didn't smile!", ""]


def real(folder):
    tokenizer = tokenizers.Tokenizer.from_file(folder + "/tokenizer.json")
    tokenizer.no_padding()
    ids = [tokenizer.encode(s).ids for s in SENTENCES]
    model = BertModel.from_pretrained(folder, add_pooling_layer=False).double().eval()
    with torch.no_grad():
        hidden = torch.cat([model(torch.tensor([row])).last_hidden_state[0] for row in ids])
    lengths = torch.tensor([len(row) for row in ids])
    padded = torch.zeros(len(ids), int(lengths.max()), dtype=torch.long)
    for row, to in zip(ids, padded):
        to[: len(row)] = torch.tensor(row)
    save_file({"ids": padded, "lengths": lengths, "hidden": hidden[:, ::48].contiguous()}, HERE / "minilm.safetensors", {"format": "pt"})


if __name__ == "__main__":
    main()
    if len(sys.argv) > 1:
        real(sys.argv[1])
