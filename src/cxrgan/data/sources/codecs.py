"""Compressed pixels of DICOM -> arrays: imagecodecs as a plugin of pydicom, which knows colours and signs.

Of pydicom's own plugins, GDCM ends the whole process on damaged pixels, and 12-bit lossy JPEG takes GPL code.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.pixels.decoders.base import DecodeRunner

JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
RLE = "1.2.840.10008.1.2.5"

DECODER_DEPENDENCIES = dict.fromkeys((*JPEG, *JPEG_LS, *JPEG_2000), ("imagecodecs",))  # pydicom asks for the name


def is_available(uid: str) -> bool:
    """Whether pixels of this transfer syntax can be decompressed here."""
    return uid == RLE or (uid in DECODER_DEPENDENCIES and find_spec("imagecodecs") is not None)


def decompressed(dataset: "Dataset") -> "np.ndarray[Any, Any]":
    """(H, W) or (H, W, 3), as pydicom's `pixel_array` gives it; YBR becomes RGB. Raises what pydicom raises."""
    from pydicom.pixels.decoders.base import Decoder, get_decoder

    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax == RLE:
        return get_decoder(syntax).as_array(dataset, index=0, decoding_plugin="pydicom")[0]
    decoder = Decoder(syntax)  # of this call alone: pydicom's own are shared by threads, and would try GDCM
    decoder.add_plugin("imagecodecs", (__name__, "decode_frame"))
    return decoder.as_array(dataset, index=0, decoding_plugin="imagecodecs")[0]


def decode_frame(source: bytes, runner: "DecodeRunner") -> bytearray:
    """One frame's codestream -> its pixels, sample beside sample; `runner` learns what they are."""
    import imagecodecs

    if runner.transfer_syntax in JPEG:  # components as they are coded: pydicom converts them, by what the header says
        space = None if runner.samples_per_pixel == 1 else "YCBCR"
        pixels = imagecodecs.jpeg8_decode(source, colorspace=space, outcolorspace=space)
    elif runner.transfer_syntax in JPEG_LS:
        pixels = imagecodecs.jpegls_decode(source)
    else:
        pixels = imagecodecs.jpeg2k_decode(source)
        if runner.photometric_interpretation in ("YBR_ICT", "YBR_RCT"):
            runner.set_option("photometric_interpretation", "RGB")
    wanted = (runner.rows, runner.columns, runner.samples_per_pixel)
    if pixels.shape != wanted[: pixels.ndim]:
        raise ValueError(f"pixels of shape {pixels.shape}")
    runner.set_option("bits_allocated", 8 * pixels.dtype.itemsize)
    runner.set_option("planar_configuration", 0)
    return bytearray(np.ascontiguousarray(pixels).tobytes())
