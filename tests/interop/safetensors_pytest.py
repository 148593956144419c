"""Agreement with the safetensors package, both ways: what it writes we read, and write again to the same bytes; what we
write it reads."""
import itertools
import os
import subprocess

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file

TOOL = os.environ["ATTEND_SAFETENSORS_TOOL"]
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
          torch.uint8, torch.bool]
SHAPES = [(), (0,), (4, 0, 3), (1,), (7,), (3, 5), (2, 3, 4, 5)]


def tensors_of(dtypes):
    torch.manual_seed(0)
    out = {}
    for dtype, shape in itertools.product(dtypes, SHAPES):
        x = torch.randn(shape) * 50
        out[f"{dtype}.{'x'.join(map(str, shape)) or 'scalar'}"] = (x > 0) if dtype == torch.bool else x.abs().to(dtype)
    return out


def run(pairs):
    done = subprocess.run([TOOL, *itertools.chain(*pairs)], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def again(tmp_path, source):
    target = tmp_path / "again.safetensors"
    assert run([(source, target)]) == ["ok"]
    return target


@pytest.mark.parametrize("dtypes", [[d] for d in DTYPES] + [DTYPES], ids=lambda d: "+".join(str(x)[6:] for x in d)[:40])
def test_same_bytes_and_same_tensors(tmp_path, dtypes):
    tensors = tensors_of(dtypes)
    source = tmp_path / "source.safetensors"
    save_file(tensors, source, metadata={"format": "pt"})
    target = again(tmp_path, source)
    assert target.read_bytes() == source.read_bytes()
    loaded = load_file(target)
    assert loaded.keys() == tensors.keys()
    for name, x in tensors.items():
        assert loaded[name].dtype == x.dtype and loaded[name].shape == x.shape
        assert torch.equal(loaded[name], x)


def test_special_values_keep_their_bits(tmp_path):
    x = torch.tensor([float("nan"), float("inf"), -float("inf"), -0.0, 1e-45])
    source = tmp_path / "special.safetensors"
    save_file({"x": x, "h": x.half(), "b": x.bfloat16()}, source, metadata={"format": "pt"})
    assert again(tmp_path, source).read_bytes() == source.read_bytes()


def test_names_and_metadata(tmp_path):
    source = tmp_path / "names.safetensors"
    names = ["a\"b", "back\\slash", "tab\t", "ü/日本", "", " ", "x" * 500]
    save_file({n: torch.ones(1) for n in names}, source, metadata={"format": "pt", "k\"": "v\n", "ü": "日"})
    with safe_open(again(tmp_path, source), "pt") as f:
        assert set(f.keys()) == set(names)
        assert f.metadata() == {"format": "pt", "k\"": "v\n", "ü": "日"}


def test_what_the_package_refuses_we_refuse(tmp_path):
    good = save({"a": torch.arange(6.0), "b": torch.ones(3, dtype=torch.uint8)}, metadata={"format": "pt"})
    pairs = []
    for at in range(0, 8 + int.from_bytes(good[:8], "little"), 5):
        bad = bytearray(good)
        bad[at] ^= 0x04
        path = tmp_path / f"bad{at}.safetensors"
        path.write_bytes(bad)
        try:
            load_file(path)
        except Exception:
            pairs.append((path, tmp_path / "out"))
    assert len(pairs) > 10
    for (path, _), line in zip(pairs, run(pairs), strict=True):
        assert line.startswith(f"3 {path}: ")
