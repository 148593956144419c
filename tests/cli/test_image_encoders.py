"""attend import, and captioners on a pretrained encoder, as a user meets them: the tiny MobileNet of tests/golden and images of shapes."""
import json
import os
import pathlib
import shutil

import pytest
from conftest import DATA, PROGRAM, SOURCE, Attend

TINY = SOURCE / "tests" / "golden" / "mobilenet.h5"
SMALL = ["--threads", "1", "--seed", "1", "--set", "data.image_size=32", "--set", "model.stride=8", "--set", "model.embedding_width=8",
         "--set", "model.hidden=16", "--set", "model.attention.width=8", "--set", "train.batch=16", "--set", "train.decode_rows=4",
         "--set", "train.epochs=2"]
pytestmark = pytest.mark.skipif(not (pathlib.Path(PROGRAM).parent / "attend-hdf5").exists(), reason="built without libhdf5")


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A folder with 40 images in shapes/, the encoder in net/ and a run on it, frozen."""
    folder = tmp_path_factory.mktemp("encoders")
    call = Attend(folder)
    assert call("data", "make", "shapes", "--rows", "40", "--size", "32", "--out", ".").status == 0
    done = call("import", TINY, "--out", "net", "--json")
    assert done.status == 0, done.err
    assert done.json == {"file": str(TINY), "network": "MobileNet v1, multiplier 0.03125", "folder": "net", "parameters": 4830}
    call.trained = train(call, "frozen").json
    return call


def train(call, name, *more, encoder="net"):
    done = call("train", "captioning/soft", "--data", "./shapes", *SMALL, "--set", f"model.encoder.pretrained={encoder}", *more,
                "--out", name, "--json")
    assert done.status == 0, done.err
    return done


def features(call):
    return {f.name: f.stat().st_mtime_ns for f in (call.folder / "cache" / "features").iterdir()}


def weights(run):
    data = (run / "model.safetensors").read_bytes()
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + n])
    return {k: data[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]] for k, v in header.items() if k != "__metadata__"}


def test_the_default_folder_is_the_files_name(attend):
    shown = attend("import", TINY)
    assert shown.status == 0 and "MobileNet v1, multiplier 0.03125" in shown.out and "model.encoder.pretrained=mobilenet" in shown.out
    assert {f.name for f in (attend.folder / "mobilenet").iterdir()} == {"config.json", "model.safetensors"}
    attend.fails(2, "import", TINY, names=["mobilenet", "holds something already"])


def test_a_run_on_it(shapes):
    config = json.loads((shapes.folder / "frozen" / "config.json").read_text())
    assert (config["encoder"], config["encoder_frozen"], config["annotation_width"]) == ("mobilenet", True, 8)
    assert len(features(shapes)) == 3, "training, validation, test"
    measured = shapes("eval", "frozen", "--split", "test", "--json").json
    assert measured["metrics"]["loss"] == pytest.approx(shapes.trained["metrics"]["test"]["loss"])
    said = shapes("predict", "frozen", "shapes/test/000001.png", "--json")
    assert said.status == 0 and said.json["caption"], said.err
    explained = shapes("explain", "frozen", "shapes/test/000001.png", "--json").json
    assert len(explained["attention"][0]["weights"][0]) == 16, "places of 8 pixels"
    summary = shapes("summary", "frozen", "--json").json
    assert summary["trainable"] == summary["parameters"] - sum(
        layer["parameters"] for layer in summary["layers"] if layer["name"].startswith("encoder."))
    shape = {layer["name"]: layer["shape"] for layer in summary["layers"]}
    assert shape["encoder.conv1"] == [-1, 18, 18, 1] and shape["encoder.pw5"] == [-1, 4, 4, 8]


def test_a_frozen_encoder_stays_and_its_annotations_are_made_once(shapes):
    before = features(shapes)
    train(shapes, "again", "--set", "train.seed=2")
    assert features(shapes) == before
    given, kept = weights(shapes.folder / "net"), weights(shapes.folder / "again")
    assert all(kept[f"encoder.{name}"] == given[name] for name in given if f"encoder.{name}" in kept) and "encoder.conv1.bias" in kept


def test_the_same_without_the_cache(shapes):
    (shapes.folder / "blocked").write_text("no folder")
    done = shapes("train", "captioning/soft", "--data", "./shapes", *SMALL, "--set", "model.encoder.pretrained=net", "--out", "uncached",
                  "--json", env={"ATTEND_CACHE": str(shapes.folder / "blocked")})
    assert done.status == 0 and "annotations are in memory" in done.err, done.err
    assert weights(shapes.folder / "uncached") == weights(shapes.folder / "frozen")


def test_fine_tuned(shapes):
    before = features(shapes)
    train(shapes, "tuned", "--set", "model.encoder.frozen=false")
    assert features(shapes) == before, "what is trained is not kept"
    given, tuned = weights(shapes.folder / "net"), weights(shapes.folder / "tuned")
    changed = [name for name in given if f"encoder.{name}" in tuned and tuned[f"encoder.{name}"] != given[name]]
    assert {"dw3.bias", "pw5.bias"} <= set(changed), "and not the last layer alone"
    assert shapes("summary", "tuned", "--json").json["trainable"] == shapes("summary", "tuned", "--json").json["parameters"]


def test_a_file_is_taken_as_it_is_and_the_run_needs_it_no_more(shapes):
    shutil.copy(TINY, shapes.folder / "taken.h5")
    train(shapes, "direct", encoder="taken.h5")
    assert weights(shapes.folder / "direct") == weights(shapes.folder / "frozen")
    os.remove(shapes.folder / "taken.h5")
    assert shapes("predict", "direct", "shapes/test/000001.png").status == 0


def test_a_changed_encoder_is_not_resumed_with(shapes):
    shutil.copytree(shapes.folder / "net", shapes.folder / "moving")
    stopped = shapes("train", "captioning/soft", "--data", "./shapes", *SMALL, "--set", "model.encoder.pretrained=moving", "--out", "stopped",
                     "--set", "train.epochs=3", "--set", "train.checkpoint_seconds=0")
    assert stopped.status == 0, stopped.err
    for name in ("SHA256SUMS", "model.safetensors", "results.json"):
        (shapes.folder / "stopped" / name).unlink(missing_ok=True)
    path = shapes.folder / "moving" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    done = shapes("train", "--resume", "stopped")
    assert done.status == 2 and "a pretrained model that the recipe names, has changed" in done.err, done.err


@pytest.mark.parametrize("status, settings, names", [
    (3, ["model.encoder.pretrained=nowhere"], ["model.encoder.pretrained", "nowhere", "attend data list"]),
    (3, ["model.encoder.pretrained=coco-mini"], ["model.encoder.pretrained", "coco-mini"]),
    (3, ["model.encoder.pretrained=imagenet-cnn:vgg"], ["imagenet-cnn:vgg", "imagenet-cnn:mobilenet"]),
    (3, ["model.encoder.pretrained=imagenet-cnn"], ["imagenet-cnn:mobilenet", "imagenet-cnn:squeezenet"]),
    (4, ["model.encoder.pretrained=imagenet-cnn:mobilenet"], ["imagenet-cnn", "ATTEND_DATA"]),
    (2, ["model.encoder.pretrained=net", "model.stride=4"], ["model.stride is 4", "8, 16 or 32"]),
    (2, ["model.encoder.pretrained=net", "data.image_size=36"], ["data.image_size is 36", "multiple of model.stride = 8"]),
    (2, ["model.encoder.freeze=true"], ["model.encoder.freeze", "model.encoder.frozen"]),
])
def test_settings_that_make_no_sense(shapes, status, settings, names):
    more = [word for setting in settings for word in ("--set", setting)]
    shapes.fails(status, "train", "captioning/soft", "--data", "./shapes", *SMALL, *more, "--out", "none", names=names,
                 env={"ATTEND_DATA": str(shapes.folder)})
    assert not (shapes.folder / "none" / "SHA256SUMS").exists()


def test_files_that_are_not_imported(attend):
    folder = attend.folder
    good = TINY.read_bytes()
    (folder / "cut.h5").write_bytes(good[:5000])
    (folder / "weights.pth").write_bytes(b"PK\x03\x04archive/data.pkl")
    (folder / "noise").write_bytes(b"noise")
    os.mkfifo(folder / "fifo.h5")
    attend.fails(3, "import", "cut.h5", names=["cut.h5", "not an HDF5 file, or a damaged one"])
    attend.fails(3, "import", "weights.pth", names=["weights.pth", "a pickle or PyTorch file", "MobileNet v1 in Keras' HDF5"])
    attend.fails(3, "import", "noise", "--out", "n", names=["noise", "no kind of file"])
    attend.fails(2, "import", "noise", names=["noise", "--out"])
    attend.fails(4, "import", "fifo.h5", names=["fifo.h5", "not a regular file"])
    attend.fails(4, "import", "none.h5", names=["none.h5"])
    attend.fails(2, "import", names=["FILE"])
    assert {f.name for f in folder.iterdir()} <= {"cut.h5", "weights.pth", "noise", "fifo.h5", "cache"}, "nothing is left of any"


@pytest.mark.skipif(not any(os.path.exists(os.path.join(d, "imagenet-cnn/mbnet128_0.25.h5")) for d in DATA.split(":")), reason="no imagenet-cnn")
def test_the_real_ones(attend):
    layers = attend("summary", "captioning/flickr8k", "--json").json["layers"]
    assert layers[0]["name"] == "encoder.conv1" and not layers[0]["trainable"]
    assert attend("data", "info", "imagenet-cnn").status == 0
    squeeze = attend("summary", "captioning/soft", "--set", "model.encoder.pretrained=imagenet-cnn:squeezenet", "--set", "model.stride=16",
                     "--set", "data.image_size=224", "--json").json["layers"]
    assert {layer["name"]: layer["shape"] for layer in squeeze}["encoder.fire9.expand3"] == [-1, 14, 14, 256]
