"""Radiographs in DICOM: every part of the grey-scale pipeline and every way of storing pixels, as pydicom reads them.

pydicom has no rule for empty elements, for images without a window, for padding and for the two ways to say that low is
bright; `shown` has ours. Lossless JPEG is encoded by GDCM, which pydicom also decodes it with.
"""

import io
import tempfile
from pathlib import Path

import gdcm
import numpy as np
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
    UID,
    generate_uid,
)

from common import fresh, write_lines

WIDTH, HEIGHT = 12, 8
ENCAPSULATED_UNCOMPRESSED = UID("1.2.840.10008.1.2.1.98")
EMPTY_WINDOW = {"WindowCenter": None, "WindowWidth": None, "VOILUTFunction": None}
WINDOW = {"WindowCenter": "1800", "WindowWidth": "1500"}


def values(low, high):
    """A slope from `low` to `high` with a few jumps."""
    slope = np.linspace(low, high, WIDTH * HEIGHT).round().astype(np.int64)
    slope[5::17] = high
    slope[9::23] = low
    return slope.reshape(HEIGHT, WIDTH)


def table(entries, first, bits, vr="OW", first_vr="US"):
    """The one item of a sequence of look-up tables."""
    item = Dataset()
    item.add_new(0x00283002, first_vr, [len(entries), first, bits])
    words = np.asarray(entries, "<u2")
    item.add_new(0x00283006, vr, words.tobytes() if vr == "OW" else words.tolist())
    return Sequence([item])


def curve(steep, size, top, fall=False):
    """An S of `size` entries up to `top`."""
    t = np.arange(size) / (size - 1)
    s = 1 / (1 + np.exp(-steep * (t - 0.4)))
    return ((1 - s if fall else s) * top).round().astype(int)


def dataset(pixels, stored=12, allocated=16, photometric="MONOCHROME2", signed=False, syntax=ExplicitVRLittleEndian, **keys):
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = "2.25.1"
    ds.file_meta.ImplementationClassUID = "2.25.2"
    ds.Modality, ds.PatientID, ds.ViewPosition = "DX", "MADE", "PA"
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, photometric
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = allocated, stored, stored - 1, int(signed)
    for key, value in keys.items():
        setattr(ds, key, value)
    big = syntax == ExplicitVRBigEndian
    kind = np.dtype({8: "u1", 16: "i2" if signed else "u2"}[allocated]).newbyteorder(">" if big else "<")
    ds.PixelData = pixels.astype(kind).tobytes()
    ds["PixelData"].VR = "OW" if allocated == 16 else "OB"
    return ds


def shown(ds):
    """What is shown, 0 (black) to 65535, whether the file says what is black and white, and pixels of padding."""
    for element in [element for element in ds if element.is_empty]:
        del ds[element.tag]  # pydicom stumbles over some of them
    pixels = apply_modality_lut(ds.pixel_array, ds)
    windowed = True
    if ds.get("VOILUTSequence"):
        item = ds.VOILUTSequence[0]
        used = int(np.max(np.frombuffer(item.LUTData, "<u2") if isinstance(item.LUTData, bytes) else item.LUTData)).bit_length()
        grey = apply_voi(pixels, ds) / (2 ** min(used, item.LUTDescriptor[2]) - 1)
    elif "WindowWidth" in ds:
        black, white = apply_windowing(np.array([-1e5, 1e5]), ds)
        grey = (apply_windowing(pixels, ds) - black) / (white - black)
    elif ds.BitsAllocated == 8:
        grey = pixels / 255
    else:
        windowed = False
    padding = np.zeros(pixels.shape, bool)
    if "PixelPaddingValue" in ds:
        ends = sorted((ds.PixelPaddingValue, ds.get("PixelPaddingRangeLimit", ds.PixelPaddingValue)))
        padding = (ends[0] <= ds.pixel_array) & (ds.pixel_array <= ends[1])
    if not windowed:
        low, high = pixels[~padding].min(), pixels[~padding].max()
        grey = (pixels - low) / (high - low)
    if ds.PhotometricInterpretation == "MONOCHROME1" or ds.get("PresentationLUTShape") == "INVERSE":
        grey = 1 - grey
    grey = np.where(padding, 0, np.clip(grey, 0, 1) * 65535)
    return {"values": np.round(grey).astype(int).flatten().tolist(), "windowed": windowed, "padded": int(padding.sum())}


def cases():
    """Name and data set of each file."""
    twelve, eight = values(0, 4095), values(0, 255)
    signed = values(-900, 1100)
    yield "plain", dataset(twelve)
    yield "linear", dataset(twelve, **WINDOW)
    yield "linear-exact", dataset(twelve, VOILUTFunction="LINEAR_EXACT", **WINDOW)
    yield "sigmoid", dataset(twelve, VOILUTFunction="SIGMOID", **WINDOW)
    yield "width-1", dataset(twelve, WindowCenter="2000", WindowWidth="1")
    yield "several-windows", dataset(twelve, WindowCenter=["1800", "1000"], WindowWidth=["1500", "200"])
    yield "rescale", dataset(twelve, RescaleSlope="0.5", RescaleIntercept="-1024", WindowCenter="-100", WindowWidth="900")
    yield "falling-rescale", dataset(twelve, RescaleSlope="-1", RescaleIntercept="4095")
    yield "modality-lut", dataset(twelve, ModalityLUTSequence=table(curve(9, 256, 60000), 1000, 16))
    yield "modality-lut-window", dataset(twelve, ModalityLUTSequence=table(curve(9, 256, 60000), 1000, 16), WindowCenter="30000", WindowWidth="50000")
    yield "voi-lut", dataset(twelve, VOILUTSequence=table(curve(14, 300, 1023), 700, 10))
    yield "voi-lut-falling", dataset(twelve, VOILUTSequence=table(curve(14, 300, 4095, fall=True), 700, 12))
    yield "voi-lut-us", dataset(twelve, VOILUTSequence=table(curve(14, 300, 4095), 700, 12, vr="US"))
    yield "voi-lut-and-window", dataset(twelve, VOILUTSequence=table(curve(14, 300, 4095), 700, 12), **WINDOW)
    yield "voi-lut-16-of-which-12", dataset(twelve, VOILUTSequence=table(curve(14, 300, 4095), 700, 16))
    yield "voi-lut-signed", dataset(signed, signed=True, VOILUTSequence=table(curve(14, 300, 4095), -100, 12, first_vr="SS"))
    yield "voi-lut-implicit", dataset(signed, signed=True, syntax=ImplicitVRLittleEndian, VOILUTSequence=table(curve(14, 300, 4095), -100, 12, first_vr="SS"))
    yield "signed", dataset(signed, signed=True)
    yield "monochrome1", dataset(twelve, photometric="MONOCHROME1", **WINDOW)
    yield "monochrome1-inverse", dataset(twelve, photometric="MONOCHROME1", PresentationLUTShape="INVERSE", **WINDOW)
    yield "inverse", dataset(twelve, PresentationLUTShape="INVERSE", **WINDOW)
    yield "identity", dataset(twelve, PresentationLUTShape="IDENTITY", **WINDOW)
    yield "padding", dataset(twelve, photometric="MONOCHROME1", PixelPaddingValue=0)
    yield "padding-range", dataset(signed, signed=True, PixelPaddingValue=-900, PixelPaddingRangeLimit=-500, WindowCenter="0", WindowWidth="3000")
    yield "overlay-above", dataset(twelve | 0xA000 * (twelve % 3 == 0), **WINDOW)
    yield "eight", dataset(eight, 8, 8)
    yield "eight-monochrome1", dataset(eight, 8, 8, photometric="MONOCHROME1")
    # Present and empty is as absent, as anonymisers leave them.
    yield "empty-window", dataset(twelve, **EMPTY_WINDOW)
    yield "empty-all", dataset(
        twelve, NumberOfFrames=None, RescaleSlope=None, RescaleIntercept=None, ModalityLUTSequence=Sequence(), VOILUTSequence=Sequence(),
        PresentationLUTShape=None, PixelSpacing=None, PatientAge=None, **EMPTY_WINDOW,
    )
    yield "empty-width", dataset(twelve, WindowCenter="2048", WindowWidth=None)
    # Ways to store.
    yield "implicit", dataset(twelve, syntax=ImplicitVRLittleEndian, **WINDOW)
    yield "big-endian", dataset(twelve, syntax=ExplicitVRBigEndian, **WINDOW)
    yield "deflated", dataset(twelve, syntax=DeflatedExplicitVRLittleEndian, **WINDOW)
    yield "rle-16", compressed(dataset(twelve, **WINDOW))
    yield "rle-8", compressed(dataset(eight, 8, 8))
    yield "rle-signed", compressed(dataset(signed, signed=True))
    fragments = dataset(twelve, syntax=ENCAPSULATED_UNCOMPRESSED, **WINDOW)
    fragments.PixelData = encapsulate([fragments.PixelData], fragments_per_frame=2)
    yield "fragments", fragments
    for name, pixels, stored, allocated in (("jpeg-lossless", twelve, 12, 16), ("jpeg-lossless-16", values(0, 65535), 16, 16), ("jpeg-lossless-8", eight, 8, 8)):
        yield name, lossless(dataset(pixels, stored, allocated))
    jpeg = dataset(eight, 8, 8, syntax=JPEGBaseline8Bit)
    buffer = io.BytesIO()
    Image.fromarray(eight.astype(np.uint8)).save(buffer, "JPEG", quality=95)
    jpeg.PixelData = encapsulate([buffer.getvalue()])
    yield "jpeg", jpeg


def compressed(ds):
    ds.compress(RLELossless, generate_instance_uid=False)
    return ds


def lossless(ds):
    """Encoded by GDCM as JPEG Lossless, process 14, selection value 1."""
    with tempfile.TemporaryDirectory() as folder:
        plain, coded = f"{folder}/plain.dcm", f"{folder}/coded.dcm"
        pydicom.dcmwrite(plain, ds, enforce_file_format=True)
        reader, writer, change = gdcm.ImageReader(), gdcm.ImageWriter(), gdcm.ImageChangeTransferSyntax()
        reader.SetFileName(plain)
        assert reader.Read()
        change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
        change.SetInput(reader.GetImage())
        assert change.Change()
        writer.SetFile(reader.GetFile())
        writer.SetImage(change.GetOutput())
        writer.SetFileName(coded)
        assert writer.Write()
        found = pydicom.dcmread(coded)
        ds.file_meta.TransferSyntaxUID = found.file_meta.TransferSyntaxUID
        ds.PixelData = found.PixelData
        return ds


def make():
    folder = fresh("radiographs")
    expected = {}
    for name, ds in cases():
        path = Path(folder) / f"{name}.dcm"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[name])
        pydicom.dcmwrite(path, ds, enforce_file_format=True)
        # What pydicom does not decode is the case `linear` in fragments.
        expected[name] = expected["linear"] if name == "fragments" else shown(pydicom.dcmread(path))
    write_lines(folder / "cases.json", expected)
