"""Writes images.json: small JPEG and PNG files of every kind as Pillow writes them, the pixels that Pillow reads from them, and
what its resize makes of two of them (along x, then along y: Pillow 13 takes y first for some sizes). Only to be run again when a case is added, in an environment of its own:
    python3 -m venv build/golden && build/golden/bin/pip install pillow==12.3.0 numpy
    build/golden/bin/python tests/golden/make_images.py
"""
import io
import json
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

HEIGHT, WIDTH = 13, 17


def picture(seed, channels):
    """Smooth waves and some noise, so that neither orientation nor channel order can be mistaken."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    out = np.stack([128 + 90 * np.sin(0.3 * x + 0.17 * (c + 1) * y + c) for c in range(channels)], -1)
    out += random.normal(0, 12, out.shape)
    out[:3, :5] = 250 - 40 * np.arange(channels)
    return np.clip(out, 0, 255).astype(np.uint8)


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def exif(orientation):
    out = Image.Exif()
    out[0x0112] = orientation
    return out.tobytes()


def over_white(image):
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_16_bits(samples, color):
    """Big-endian samples of 16 bits, which Pillow does not write for RGB."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def png_interlaced(samples):
    """Adam7, which Pillow reads and does not write."""
    rows = b""
    for x0, y0, dx, dy in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
        for row in samples[y0::dy, x0::dx]:
            if len(row):
                rows += b"\0" + row.tobytes()
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 1)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def cases():
    rgb = Image.fromarray(picture(1, 3))
    grey = Image.fromarray(picture(2, 1)[..., 0])
    rgba = Image.fromarray(picture(3, 4), "RGBA")
    cmyk = Image.fromarray(picture(4, 4), "CMYK")
    yield "rgb.png", saved(rgb, "PNG")
    yield "grey.png", saved(grey, "PNG")
    yield "alpha.png", saved(rgba, "PNG")
    yield "grey_alpha.png", saved(rgba.convert("LA"), "PNG")
    yield "palette.png", saved(rgb.quantize(11), "PNG")
    yield "palette_4_bits_transparent.png", saved(rgb.quantize(13), "PNG", bits=4, transparency=bytes([0, 90, 200]))
    yield "grey_transparent.png", saved(grey, "PNG", transparency=int(np.asarray(grey)[0, 0]))
    yield "one_bit.png", saved(grey.convert("1"), "PNG")
    yield "exif.png", saved(rgb, "PNG", exif=exif(6))
    yield "interlaced.png", png_interlaced(picture(1, 3))
    wide = picture(5, 3).astype(np.uint16) * 256 + (255 - picture(5, 3))  # where rounding and cutting differ
    yield "rgb_16_bits.png", png_16_bits(wide, 2)
    yield "rgb.jpg", saved(rgb, "JPEG", quality=92, subsampling=0)
    yield "subsampled.jpg", saved(rgb, "JPEG", quality=85, subsampling=2)
    yield "half.jpg", saved(rgb, "JPEG", quality=85, subsampling=1)
    yield "progressive.jpg", saved(rgb, "JPEG", quality=85, progressive=True)
    yield "grey.jpg", saved(grey, "JPEG", quality=90)
    yield "cmyk.jpg", saved(cmyk, "JPEG", quality=90)
    for orientation in range(1, 9):
        yield f"exif_{orientation}.jpg", saved(rgb, "JPEG", quality=85, exif=exif(orientation))
    yield "one.png", saved(rgb.crop((0, 0, 1, 1)), "PNG")
    yield "one.jpg", saved(rgb.crop((0, 0, 1, 1)), "JPEG")


def described(image):
    return {"height": image.height, "width": image.width, "rgb": np.asarray(image).tobytes().hex()}


def main():
    images, resized = [], []
    for name, data in cases():
        image = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        has_alpha = image.mode in ("RGBA", "LA") or "transparency" in image.info
        image = over_white(image) if has_alpha else image.convert("RGB")
        images.append({"name": name, "file": data.hex(), **described(image)})
    # High contrast: overshoot of bicubic and Lanczos must be cut to 0…255.
    source = Image.fromarray(np.where(picture(7, 3) > 120, 255, 0).astype(np.uint8))
    smooth = Image.fromarray(picture(8, 3))
    for place, which in enumerate((source, smooth)):
        for filter_name in ("BILINEAR", "BICUBIC", "LANCZOS"):
            for height, width in [(5, 7), (29, 34), (13, 6), (30, 17), (1, 1), (12, 16), (3, 40)]:
                out = which.resize((width, height), Image.Resampling[filter_name])
                resized.append({"source": place, "filter": filter_name, **described(out)})
    path = pathlib.Path(__file__).with_name("images.json")
    path.write_text(json.dumps({"images": images, "sources": [described(source), described(smooth)], "resized": resized}, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
