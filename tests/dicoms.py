"""DICOM files for the tests: any picture in any coding, of a patient who never lived."""

from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

CR, DX, SC, CT = (f"1.2.840.10008.5.1.4.1.1.{kind}" for kind in ("1", "1.1", "7", "2"))

SYNTAXES = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "big-endian": ExplicitVRBigEndian,
    "rle": RLELossless,
    "jpeg-lossless": JPEGLosslessSV1,
    "jpeg-ls": JPEGLSLossless,
    "jpeg-2000": JPEG2000Lossless,
    "jpeg-12-bit": JPEGExtended12Bit,
}

PERSON: dict[str, Any] = {
    "PatientName": "Quixote^Alonso",
    "PatientID": "MRN-4471123",
    "IssuerOfPatientID": "LaMancha General",
    "OtherPatientIDs": "SSN-990-11-2233",
    "PatientBirthDate": "15470929",
    "AccessionNumber": "ACC998877",
    "StudyID": "STUDY-31415",
    "ReferringPhysicianName": "Carrasco^Sanson",
    "InstitutionName": "Hospital of Toboso",
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.1111111111",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.2222222222",
    "SOPInstanceUID": "1.2.826.0.1.3680043.8.498.3333333333",
}


def write_dicom(
    path: Path, pixels: NDArray[Any], *, syntax: str = "explicit", kind: str = CR, bits: int | None = None, **more: Any
) -> Path:
    """A file with (H, W) or (H, W, 3) pixels of 8 or 16 bits, of which `bits` are stored; `more` are its attributes."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = SYNTAXES[syntax]
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = UID(kind)
    dataset.SOPInstanceUID = generate_uid()
    dataset.PatientID = "1"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    dataset.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.BitsStored = bits or dataset.BitsAllocated
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(np.issubdtype(pixels.dtype, np.signedinteger))
    for name, value in more.items():
        setattr(dataset, name, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PixelData = _coded(pixels, syntax)
    dataset["PixelData"].VR = "OW" if dataset.BitsAllocated > 8 else "OB"
    path.parent.mkdir(parents=True, exist_ok=True)
    if syntax == "rle":
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    dataset.save_as(path, enforce_file_format=True)
    return path


def lut(entries: NDArray[Any], bits: int, first: int = 0, **more: Any) -> Dataset:
    """An item of a Modality or VOI LUT Sequence."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(entries) % 2**16, first, bits])
    item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    for name, value in more.items():
        setattr(item, name, value)
    return item


def _coded(pixels: NDArray[Any], syntax: str) -> bytes:
    match syntax:
        case "jpeg-lossless":
            stream = imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=1)
        case "jpeg-12-bit":
            stream = imagecodecs.jpeg8_encode(pixels, level=100, bitspersample=12)
        case "jpeg-ls":
            stream = imagecodecs.jpegls_encode(pixels)
        case "jpeg-2000":
            stream = imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True)
        case "big-endian":
            return pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
        case _:
            return pixels.tobytes()
    return encapsulate([bytes(stream)])
