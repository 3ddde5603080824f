"""Pictures as cameras and programs write them, and their pixels as Pillow reads them: turned by EXIF, in 16 bits of which fewer
are used, with opacity, in colours.

Of 16 bits Pillow keeps all; white is then the largest number of the bits that are used. What is transparent is laid on black.
"""

import struct
import zlib

import numpy as np
from PIL import Image, ImageOps

from common import fresh, write_lines

WIDTH, HEIGHT = 24, 16
ORIENTATION = 0x0112


def slope(top=255):
    """Falls to the right and downwards, so that no turn and no mirror image looks the same."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return (top * (1 - (2 * x + 3 * y) / (2 * (WIDTH - 1) + 3 * (HEIGHT - 1)))).round().astype(int)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(samples, color, bits=16):
    """A PNG of samples [H, W, C], which Pillow does not write in 16 bits and colours."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    head = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], bits, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def make():
    folder = fresh("pictures")
    expected = {}
    grey = Image.fromarray(slope().astype(np.uint8))
    rgb = Image.merge("RGB", [grey, grey.point(lambda v: v * 3 // 4), grey.point(lambda v: v // 2)])

    def add(name, pixels, channels=1):
        pixels = np.asarray(pixels).astype(int)
        expected[name] = {"width": pixels.shape[1], "height": pixels.shape[0], "channels": channels, "pixels": pixels.flatten().tolist()}

    # Every orientation (TIFF 6.0, page 36); the picture in the file is turned the other way.
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = orientation
        kinds = [("jpg", {"quality": 95})]
        if orientation == 6:
            kinds += [("webp", {"lossless": True}), ("png", {})]
        for kind, how in kinds:
            name = f"turned-{orientation}.{kind}"
            turned = rgb if kind == "webp" else grey
            turned.save(folder / name, exif=exif, **how)
            upright = ImageOps.exif_transpose(Image.open(folder / name))
            add(name, upright, len(upright.getbands()))

    for bits in (9, 10, 12, 16):
        top = 2**bits - 1
        name = f"bits-{bits}.png"
        Image.fromarray(slope(top).astype(np.uint16)).save(folder / name)
        add(name, np.round(np.asarray(Image.open(folder / name)) / top * 255))
    twelve = slope(4095)[..., None] * np.array([1, 0.75, 0.5])
    twelve = twelve.round().astype(int)
    (folder / "colours-12.png").write_bytes(png(twelve, color=2))
    add("colours-12.png", np.round(twelve / 4095 * 255), 3)
    half = np.where(np.arange(WIDTH) < WIDTH // 2, 255, 64).astype(np.uint8)
    both = Image.merge("LA", [grey, Image.fromarray(np.tile(half, (HEIGHT, 1)))])
    both.save(folder / "opacity.png")
    add("opacity.png", np.round(slope() * (half / 255)))
    rgb.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    rgb.save(folder / "progressive.jpg", quality=95, progressive=True)
    rgb.quantize(64).save(folder / "palette.png")
    grey.point(lambda v: 255 * (v > 110)).convert("1").save(folder / "one-bit.png")
    for name in ("cmyk.jpg", "progressive.jpg", "palette.png"):
        add(name, Image.open(folder / name).convert("RGB"), 3)
    add("one-bit.png", Image.open(folder / "one-bit.png").convert("L"))
    write_lines(folder / "cases.json", expected)
