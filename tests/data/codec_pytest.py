"""Our word, BPE, character and WordPiece codecs beside the package `tokenizers`: the same file, ids, merges and text.

Killed mutations: of equal merges the rightmost first.
"""
import json
import os
import random
import subprocess
import sys
import unicodedata

import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

PROBE = os.environ["ATTEND_CODEC_PROBE"]
DATA = os.environ.get("ATTEND_DATA") or os.path.join(os.environ["ATTEND_SOURCE"], "..", "shared", "data")
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]
SPLIT = tokenizers.Regex(r"▁?(?:[!-/:-@\[-`{-~]|\p{P})")
ALL = [chr(p) for p in range(1, 0x110000)
       if not 0xD800 <= p <= 0xDFFF and unicodedata.category(chr(p)) not in ("Cn", "Co")]
TEXTS = [
    "A man, in a blue shirt, is standing on a ladder cleaning a window.",
    "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.",
    "Le garçon de 10 ans a mangé 3,50 pommes « vite » ; l'été…",
    "don't stop-me now: it's \"fine\" (really!) 100% $5 a+b=c <tag> x_y",
    "e\u0301 é \u1e9b\u0323 ﬁne Å Ω", "  two  spaces\tand\na line ", "", " ", "中文 句子。 日本語", "😀😀 👩\u200d👩",
    "low lower lowest new newer newest wide wider widest", "a▁b ▁ ▁▁c ▁,", "aaaaaaaa aaa aa a", "İstanbul ΣΑΣ ẞ",
]
HOSTILE = ["<s>", "a</s>b", "<pad><unk>", "</s", "[CLS] x [MASK]. [SEP][PAD]", "\x00a", "a\u00adb", "\ufffd", "\u2028x\u0085y\u00a0z",
           "x" * 101, "x" * 100, "ab" * 3000, "'" * 50, "\u0300\u0301", "\u200b\u200e a", "don ' t . . . ok ?"]


class Probe:
    def __init__(self):
        self.process = subprocess.Popen([PROBE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, **request):
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer
        return answer


@pytest.fixture(scope="module")
def probe():
    running = Probe()
    yield running
    running.process.stdin.close()
    running.process.wait()


def random_text(rng):
    pool = rng.choice(["low erwnst  ", "abcXYZ .,-!'\"  ", "äöüß é e\u0301 ", "▁a ,\t\n", "ΣσςΑα İı ", "<s></pad>unk[CLS] ", None])
    n = rng.randrange(0, 30)
    if pool is None:
        return "".join(rng.choice(ALL) if rng.random() < 0.8 else " " for _ in range(n))
    return "".join(rng.choice(pool) for _ in range(n))


def theirs(unit, lower, size, texts):
    """The same pipeline built and trained by the package."""
    model = models.WordLevel(unk_token="<unk>") if unit == "word" else models.BPE(unk_token="<unk>")
    package = tokenizers.Tokenizer(model)
    steps = [normalizers.Replace(tokenizers.Regex(r"\s+"), " "), normalizers.Strip(), normalizers.NFC()]
    if lower:
        steps.append(normalizers.Lowercase())
    package.normalizer = normalizers.Sequence(steps)
    package.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Split(SPLIT, "isolated")])
    package.decoder = decoders.Metaspace()
    if unit == "word":
        trainer = trainers.WordLevelTrainer(vocab_size=size, special_tokens=SPECIAL, show_progress=False)
    else:
        trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, show_progress=False)
    package.train_from_iterator(texts, trainer)
    return package


def multi30k(n):
    path = os.path.join(DATA, "multi30k", "train.de.gz")
    if not os.path.exists(path):
        pytest.skip("no data: set ATTEND_DATA to a folder with multi30k")
    import gzip
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [next(file).rstrip("\n") for _ in range(n)]


def check(probe, ours, package, texts):
    mine = probe(act="encode", json=ours, texts=texts)
    for text, ids in zip(texts, mine["ids"]):
        assert ids == package.encode(text, add_special_tokens=False).ids, repr(text)
    assert mine["json"] == probe(act="encode", json=mine["json"], texts=[])["json"]
    return mine


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("unit", ["word", "bpe"])
def test_learns_what_the_package_learns(probe, unit, lower):
    # The package keeps every character, whatever the size; ours keeps to the size. So there is room for all here.
    for size, texts in ((250, TEXTS), (400, TEXTS * 2), (150, TEXTS[:4])):
        ours = probe(act="train", unit=unit, lower=lower, size=size, texts=texts)["json"]
        package = theirs(unit, lower, size, texts)
        assert json.loads(ours)["model"]["vocab"] == package.get_vocab()
        if unit == "bpe":
            assert json.loads(ours)["model"]["merges"] == json.loads(package.to_str())["model"]["merges"]
        check(probe, package.to_str(), package, TEXTS)


def test_learns_what_the_package_learns_from_real_sentences(probe):
    texts = multi30k(5000)
    ours = json.loads(probe(act="train", unit="bpe", size=3000, texts=texts)["json"])["model"]
    package = theirs("bpe", False, 3000, texts)
    model = json.loads(package.to_str())["model"]
    assert ours["merges"] == model["merges"] and ours["vocab"] == model["vocab"]


@pytest.mark.parametrize("unit", ["word", "bpe", "character"])
@pytest.mark.parametrize("lower", [False, True])
def test_same_ids_in_both_directions(probe, unit, lower):
    rng = random.Random(3)
    texts = TEXTS + HOSTILE + [random_text(rng) for _ in range(2000)]
    ours = probe(act="train", unit=unit, lower=lower, size=300, texts=TEXTS)["json"]
    package = tokenizers.Tokenizer.from_str(ours)
    check(probe, ours, package, texts)
    check(probe, package.to_str(), package, texts[:200])
    check(probe, package.to_str(pretty=True), package, texts[:50])


def test_decoding_puts_text_back(probe):
    sentences = multi30k(2000)
    for unit, size in (("bpe", 2000), ("word", 20000), ("character", 500)):
        ours = probe(act="train", unit=unit, size=size, texts=sentences)["json"]
        mine = probe(act="encode", json=ours, texts=sentences)
        package = tokenizers.Tokenizer.from_str(ours)
        for text, ids, back in zip(sentences, mine["ids"], mine["texts"]):
            plain = unicodedata.normalize("NFC", text)
            assert back == (plain if unit == "character" else " ".join(plain.split()))
            assert back == package.decode(ids)


def bert_vocab():
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "un", "##aff", "##able", "man", "don", "t", "'", ".", ",", "?", "s"]
    letters = [chr(c) for c in range(33, 127)] + list("äöüßéσςαı中日本語句文子。…«»") + ["x", "##x", "##b", "##a"]
    return words + [w for w in dict.fromkeys(letters) if w not in words] + ["##" + c for c in "cdefgσßı"]


@pytest.mark.parametrize("lower", [False, True])
def test_word_piece_is_berts(probe, lower):
    rng = random.Random(5)
    vocab = bert_vocab()
    package = tokenizers.BertWordPieceTokenizer(vocab={w: i for i, w in enumerate(vocab)}, lowercase=lower)
    texts = TEXTS + HOSTILE + ["unaffable unaffables the man's"] + [random_text(rng) for _ in range(3000)]
    mine = probe(act="vocab", vocab="\n".join(vocab) + "\n", lower=lower, texts=texts)
    for text, ids, back in zip(texts, mine["ids"], mine["texts"]):
        encoded = package.encode(text, add_special_tokens=False).ids
        assert ids == encoded, repr(text)
        if min(ids, default=5) >= 5:   # we leave out special tokens but for [UNK], the package all or none
            assert back == package.decode(ids)
    check(probe, package.to_str(), package, texts[:300])
    check(probe, mine["json"], tokenizers.Tokenizer.from_str(mine["json"]), texts)


def test_word_piece_of_a_real_vocabulary(probe):
    """minilm's 30,522 tokens, from its own file; ours, written back, puts [CLS] and [SEP] where its own does."""
    paths = [os.path.join(folder, "minilm", "tokenizer.json") for folder in DATA.split(":")]
    path = next((p for p in paths if os.path.exists(p)), None)
    if path is None:
        pytest.skip("no data: set ATTEND_DATA to a folder with minilm")
    with open(path, encoding="utf-8") as file:
        theirs_json = file.read()
    package = tokenizers.Tokenizer.from_str(theirs_json)
    package.no_padding()
    package.no_truncation()
    rng = random.Random(6)
    texts = TEXTS + HOSTILE + [random_text(rng) for _ in range(1000)]
    ours = tokenizers.Tokenizer.from_str(check(probe, theirs_json, package, texts)["json"])
    for text in TEXTS:
        assert ours.encode(text).ids == package.encode(text).ids, repr(text)


def test_every_character_alone(probe):
    """Which characters are white space, punctuation, marks: as the package has them."""
    vocab = bert_vocab()
    package = tokenizers.BertWordPieceTokenizer(vocab={w: i for i, w in enumerate(vocab)}, lowercase=True)
    texts = ["a" + c + "b" for c in ALL]
    mine = probe(act="vocab", vocab="\n".join(vocab), lower=True, texts=texts)["ids"]
    differ = [c for c, t, ids in zip(ALL, texts, mine) if ids != package.encode(t, add_special_tokens=False).ids]
    ours = probe(act="train", unit="bpe", size=100, texts=["ab " * 9])["json"]
    package = tokenizers.Tokenizer.from_str(ours)
    mine = probe(act="encode", json=ours, texts=texts)["ids"]
    other = [c for c, t, ids in zip(ALL, texts, mine) if ids != package.encode(t).ids]
    assert [hex(ord(c)) for c in differ] == []
    assert [hex(ord(c)) for c in other] == []


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q"]))
