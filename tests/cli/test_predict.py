"""predict: one line out for each line in, at once; and what explain says and writes.

Mutations killed: output held back until the end of input; no flush after a line; an empty line labelled; answers before
a bad line lost; the other label's probability printed; a control character of the input sent to the terminal; an
explained sentence not checked for words; only right answers chosen for the page; a PNG at half its size, drawn on a quarter
of itself, not drawn at all, or beyond what the format's library takes.
"""
import json
import select
import struct
import zlib
from xml.etree import ElementTree

import pytest
from conftest import TINY


def test_answers_are_right_and_sum(attend, trained):
    done = attend("predict", trained / "attention", "--json", stdin="the film was superb\nthe soup was dreadful\n")
    assert done.status == 0, done.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [set(line) for line in lines] == [{"input", "label", "probability"}] * 2
    assert [line["label"] for line in lines] == ["positive", "negative"]
    assert all(0.5 <= line["probability"] <= 1 for line in lines)
    one = attend("predict", trained / "attention", "the film was superb", "--json").json
    assert one["label"] == "positive" and one["probability"] == pytest.approx(lines[0]["probability"], abs=1e-5)


def test_each_line_is_answered_before_the_next(attend, trained):
    process = attend.start("predict", trained / "attention", "-", "--json", bufsize=0)
    for text in (b"the film was superb\n", b"\n", b"the plot was bad\n"):
        process.stdin.write(text)
        assert select.select([process.stdout], [], [], 30)[0], "no answer before the input ended"
        line = json.loads(process.stdout.readline())
        assert line["input"] == text.decode().strip()
    process.stdin.close()
    assert process.wait(30) == 0
    process.stdout.close()
    process.stderr.close()


def test_empty_lines_keep_line_numbers(attend, trained):
    text = "the film was superb\n\nthe soup was dreadful\n"
    plain = attend("predict", trained / "attention", stdin=text)
    assert plain.status == 0
    lines = plain.out.split("\n")
    assert lines[0].startswith("positive\t") and lines[1] == "" and lines[2].startswith("negative\t")
    assert "standard input:2" in plain.err and "empty" in plain.err
    documents = [json.loads(line) for line in attend("predict", trained / "attention", "--json", stdin=text).out.splitlines()]
    assert documents[1] == {"input": "", "label": None, "probability": None}


def test_file_and_stream_agree(attend, trained):
    text = "".join(f"the film was {w}\n" for w in "superb bad poor lovely great".split()) * 120   # more than one batch
    (attend.folder / "in.txt").write_text(text)
    a = attend("predict", trained / "attention", "--input", "in.txt")
    b = attend("predict", trained / "attention", "-", stdin=text)
    assert a.status == b.status == 0 and a.out == b.out and a.out.count("\n") == 600


def test_invalid_utf8_line_is_named_after_the_answers_before_it(attend, trained):
    done = attend("predict", trained / "attention", stdin=b"the film was superb\nbad \xff line\nnever read\n", binary=True)
    assert done.status == 3
    assert done.out.count(b"\n") == 1 and done.out.startswith(b"positive")
    assert b"standard input:2: " in done.err and b"UTF-8" in done.err and done.err.count(b"\n") == 1


def test_nul_and_long_lines_are_named(attend, trained):
    (attend.folder / "nul.txt").write_bytes(b"good\nbad\0line\n")
    done = attend("predict", trained / "attention", "--input", "nul.txt")
    assert done.status == 3 and "nul.txt:2: " in done.err and "NUL" in done.err and done.out.count("\n") == 1
    (attend.folder / "long.txt").write_bytes(b"good\n" + b"x" * 100_000_000)
    done = attend("predict", trained / "attention", "--input", "long.txt")
    assert done.status == 3 and "long.txt:2: " in done.err and done.out.count("\n") == 1


def test_unknown_words_only(attend, trained):
    done = attend("predict", trained / "attention", "zyzzyva quokka", "--json")
    assert done.status == 0 and done.json["label"] in ("negative", "positive")
    assert done.err.count("\n") == 1 and "does not know" in done.err
    many = attend("predict", trained / "attention", stdin="quokka\n" * 50)
    assert many.out.count("\n") == 50 and many.err.count("\n") == 5


@pytest.mark.parametrize("text", ["", "   ", "\t"])
def test_empty_sentence(attend, trained, text):
    attend.fails(3, "predict", trained / "attention", text, names="empty")
    attend.fails(3, "explain", trained / "attention", text, names="empty")


def test_bad_sentences_and_files(attend, trained):
    run = trained / "attention"
    attend.fails(3, "predict", run, b"bad \xff", names="UTF-8")
    attend.fails(3, "explain", run, b"bad \xff", names="UTF-8")
    attend.fails(4, "predict", run, "--input", "absent.txt", names="absent.txt")
    attend.fails(4, "predict", run, "--input", ".", names=".")
    attend.fails(2, "predict", run, "a", "--input", "absent.txt", names="--input")
    attend.fails(2, "predict", run, "two", "words", names=["words", "quote"])
    attend.fails(2, "predict", run, "-no", names=["-no", "'--'"])
    attend.fails(2, "predict", trained / "atention", "text", names=["atention", "did you mean"])
    assert attend("predict", run, "--", "-no").status == 0


def test_no_input_byte_reaches_the_terminal_as_control(attend, trained):
    done = attend("predict", trained / "attention", stdin="great \x1b[31mphone\x07 \u202eevil\n")
    assert done.status == 0
    assert not any(ord(c) < 0x20 and c not in "\n\t" for c in done.out) and "\u202e" not in done.out


def test_explain_views(attend, trained):
    run, text = trained / "attention", "the film was superb"
    shown = attend("explain", run, text)
    assert shown.status == 0 and "superb" in shown.out and "positive" in shown.out and "\x1b" not in shown.out
    document = attend("explain", run, text, "--json").json
    assert document["schema"] == "attend.explain/1"
    assert {"run", "input", "output", "attention", "attribution", "agreement"} <= set(document)
    attention = document["attention"][0]
    assert attention["key"] == text.split()
    assert len(document["attribution"]["leave_one_out"]) == 4
    weights = attention["weights"][0]
    assert 0.99 < sum(weights) + attention["on_padding"] < 1.01
    files = attend("explain", run, text, "--html", "page.html", "--svg", "one.svg", "--png", "one.png")
    assert files.out.split() == ["page.html", "one.svg", "one.png"]
    page = (attend.folder / "page.html").read_text()
    assert "superb" in page and "http://" not in page.replace("http://www.w3.org", "") and "<script src" not in page
    assert (attend.folder / "one.svg").read_text().startswith("<svg")


def decoded(data):
    """(width, height, rows of RGB bytes) of a PNG, by the specification alone; its checksums are looked at too."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, []
    while at < len(data):
        (length,), kind = struct.unpack(">I", data[at:at + 4]), data[at + 4:at + 8]
        body = data[at + 8:at + 8 + length]
        assert struct.unpack(">I", data[at + 8 + length:at + 12 + length])[0] == zlib.crc32(kind + body)
        chunks.append((kind, body))
        at += 12 + length
    assert chunks[0][0] == b"IHDR" and chunks[-1] == (b"IEND", b"")
    width, height, *form = struct.unpack(">IIBBBBB", chunks[0][1])
    assert form == [8, 2, 0, 0, 0]  # 8 bits, RGB, not interlaced
    raw = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    stride, rows, above = 3 * width, [], bytes(3 * width)
    assert len(raw) == height * (stride + 1)
    for y in range(height):
        rule, row = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for i in range(stride) if rule else ():
            left, up, corner = (row[i - 3], above[i], above[i - 3]) if i >= 3 else (0, above[i], 0)
            near = min((abs(up - corner), 0, left), (abs(left - corner), 1, up), (abs(left + up - 2 * corner), 2, corner))
            row[i] = (row[i] + (0, left, up, (left + up) // 2, near[2])[rule]) & 255
        rows.append(bytes(row))
        above = rows[-1]
    return width, height, rows


def test_explain_draws_the_svg_as_png(attend, trained):
    pictures = []
    for i, text in enumerate(["the film was superb", "the soup was awful", "the film was superb"]):
        done = attend("explain", trained / "attention", text, "--svg", f"{i}.svg", "--png", f"{i}.png")
        assert done.status == 0, done.err
        pictures.append(decoded((attend.folder / f"{i}.png").read_bytes()))
    drawn = ElementTree.parse(attend.folder / "0.svg").getroot()
    width, height, rows = pictures[0]
    assert (width, height) == (2 * float(drawn.get("width")), 2 * float(drawn.get("height")))
    colours = {bytes(row[i:i + 3]) for row in rows for i in range(0, len(row), 3)}
    assert rows[0][:3] == rows[-1][-3:] == b"\xfc\xfc\xfa"  # the paper, from corner to corner
    assert b"\x00\x3b\x7b" in colours  # the fullest shade
    assert len(colours) > 100  # letters, with their smooth edges
    assert pictures[1] != pictures[0] == pictures[2]


def test_a_picture_beyond_the_limit_of_png_is_refused(attend, trained):
    long = " ".join(["superb"] * 1500)
    attend.fails(2, "explain", trained / "attention", long, "--png", "long.png", names=["32767", "--svg"])
    assert not (attend.folder / "long.png").exists()


def test_explain_chosen_sentences_of_several_runs(attend, copied):
    done = attend("explain", "plain", "attention", "--split", "validation", "--count", "6", "--html", "r.html", "--json")
    assert done.status == 0, done.err
    document = json.loads(done.out)
    assert len(document["explanations"]) == 6 and document["run"] == "attention"
    assert document["summary"]["sentences"] == 40
    wrong = sum(e["truth"] != e["output"]["label"] for e in document["explanations"])
    in_all = round(40 * (1 - attend("eval", "attention", "--split", "validation", "--json").json["metrics"]["accuracy"]))
    assert wrong == min(3, in_all)
    page = (attend.folder / "r.html").read_text()
    assert "LSTM 4, attention pooling" in page and "LSTM 4" in page
    shown = attend("explain", "attention", "--split", "validation")
    assert shown.status == 0 and shown.out.count("\n") > 20


def test_explain_of_generated_reviews_says_what_falls_on_deciding_words(attend):
    done = attend("train", "guide/sentiment-lstm-attention", "--data", "synthetic-reviews", "--out", "run", "--set",
                  "model.mask_padding=true", "--set", "optim.lr=0.02", "--set", "model.hidden=8", "--set", "train.epochs=2",
                  "--threads", "1")
    assert done.status == 0, done.err
    document = attend("explain", "run", "--split", "validation", "--count", "400", "--json").json
    assert len(document["explanations"]) == document["summary"]["sentences"] == 400
    share = document["summary"]["on_deciding_words"]
    assert share["sentences"] == 400 and 0 < share["by_chance"] < share["leave_one_out"] <= 1
    assert {"attention", "gradient_x_input"} <= set(share)
    assert sum(e["truth"] != e["output"]["label"] for e in document["explanations"]) <= 200


def test_three_labels(attend):
    (attend.folder / "three.tsv").write_text("".join(
        f"the film was {w}\t{w}\n" for w in "good bad dull".split() for _ in range(30)))
    done = attend("train", "guide/sentiment-lstm-attention", "--data", "three.tsv", "--out", "run", "--set",
                  "data.split=stratified", "--set", "optim.lr=0.05", "--set", "train.epochs=6", *TINY[:6])
    assert done.status == 0, done.err
    assert attend("predict", "run", "the film was dull", "--json").json["label"] == "dull"
    document = attend("eval", "run", "--json").json
    assert document["labels"] == ["bad", "dull", "good"] and len(document["confusion"]) == 3
    assert len(attend("explain", "run", "the film was dull", "--json").json["output"]["probabilities"]) == 3


def test_explain_usage(attend, trained):
    attend.fails(2, "explain", trained / "attention", names="no input")
    attend.fails(2, "explain", trained / "attention", "text", "--split", "test", names="not both")
    attend.fails(2, "explain", trained / "attention", "--split", "tets", names="did you mean 'test'?")
    attend.fails(2, "explain", trained / "attention", "a", "b", "--svg", "x.svg", names="one sentence")
    attend.fails(4, "explain", trained / "attention", "a film", "--html", "no/such/folder.html", names="no/such/folder.html")
    assert not list(attend.folder.iterdir())
