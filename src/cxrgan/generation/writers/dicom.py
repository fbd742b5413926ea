"""A DICOM secondary capture an image, of a patient who says to be none.

Attributes by module: https://dicom.nema.org/medical/dicom/current/output/chtml/part03/sect_A.8.html (PS3.3 A.8.1).
"""

import io
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cxrgan.errors import UserError
from cxrgan.fields import printable
from cxrgan.generation.provenance import KEYWORD, Origin, Provenance
from cxrgan.generation.writers.place import new_folder, places
from cxrgan.images import SYNTHETIC

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pydicom import Dataset

PRIVATE_GROUP, PROVENANCE = 0x0011, 0x01
"""Where the JSON of the provenance lies, in the block of the private creator `cxrgan`: (0011,xx01), UT."""
UIDS = uuid.UUID("6ba7b812-9dad-11d1-80b4-00c04fd430c8")  # RFC 9562's namespace of OIDs
LONG_STRING = 64  # characters of VR LO


def write_dicoms(
    images: "NDArray[np.uint8]", labels: Sequence[str], seeds: Sequence[int], out: Path, origin: Origin | None
) -> None:
    """One `.dcm` an image, named by its seed, in a folder of its class if it has one. Needs the extra `dicom`."""
    require_pydicom()
    if origin is None:
        raise UserError("it is not known which generator made these images, as DICOM must say; save them as png or npz")
    files = places(labels, seeds, ".dcm")
    with new_folder(out) as folder:
        for file, image, label, seed in zip(files, images, labels, seeds, strict=True):
            (folder / file).parent.mkdir(exist_ok=True)
            provenance = Provenance(origin, "image", (seed,), (label,))
            content = io.BytesIO()
            secondary_capture(image, provenance).save_as(content, enforce_file_format=True)
            (folder / file).write_bytes(content.getvalue())


def require_pydicom() -> None:
    """UserError where pydicom is not installed."""
    try:
        import pydicom  # noqa: F401
    except ImportError:
        raise UserError("pydicom is not installed: in the checkout, pip install '.[dicom]'") from None


def secondary_capture(image: "NDArray[np.uint8]", provenance: Provenance) -> "Dataset":
    """An image (M, M) uint8 as a Secondary Capture Image object, explicit VR little endian.

    All of it follows from the arguments: the same image gets the same UIDs, other pixels or another origin get others.
    There are no dates, since nobody was examined.
    """
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = SecondaryCaptureImageStorage
    ds.SOPInstanceUID = _uid("image", provenance.text, image.tobytes().hex())
    ds.SyntheticData = "YES"
    ds.ContentQualification = "RESEARCH"
    _describe_patient(ds, provenance)
    _describe_equipment(ds, provenance.origin)
    _describe_image(ds, provenance)
    _set_pixels(ds, image)
    _keep(ds, provenance)
    return ds


def _describe_patient(ds: "Dataset", provenance: Provenance) -> None:
    """The modules Patient, General Study and General Series: each image is a patient, a study and a series."""
    seed, digest = provenance.seeds[0], provenance.origin.sha256
    title = " ".join(["Synthetic chest X-ray", *filter(None, provenance.labels)])
    ds.PatientName = f"SYNTHETIC^SEED {seed}"
    ds.PatientID = f"SYNTHETIC-{digest[:12]}-{seed}"
    ds.PatientBirthDate = ds.PatientSex = ""
    ds.PatientComments = "Fictional. There is no such patient."
    ds.StudyInstanceUID, ds.SeriesInstanceUID = (_uid(what, provenance.text) for what in ("study", "series"))
    ds.StudyDate = ds.StudyTime = ds.StudyID = ds.AccessionNumber = ds.ReferringPhysicianName = ""
    ds.StudyDescription = ds.SeriesDescription = _line(title)
    ds.Modality = "OT"  # CR and DX would say that there was an X-ray
    ds.SeriesNumber = 1
    ds.BodyPartExamined = "CHEST"


def _describe_equipment(ds: "Dataset", origin: Origin) -> None:
    """The modules General Equipment and SC Equipment, and the generator as what contributed."""
    from pydicom import Dataset
    from pydicom.sequence import Sequence as Items
    from pydicom.sr.codedict import codes

    ds.ConversionType = "SYN"  # synthetic image
    purpose, generator, code = Dataset(), Dataset(), codes.DCM.SynthesizingEquipment
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = code.value, "DCM", code.meaning
    generator.PurposeOfReferenceCodeSequence = Items([purpose])
    for item in (ds, generator):
        item.Manufacturer = "cxrgan"
        item.ManufacturerModelName = _line(origin.generator)
        item.DeviceSerialNumber = origin.sha256
        item.SoftwareVersions = _line(origin.cxrgan)
    generator.ContributionDescription = f"Made the image, step {origin.step}; serial number: SHA-256 of its weights"
    ds.ContributingEquipmentSequence = Items([generator])


def _describe_image(ds: "Dataset", provenance: Provenance) -> None:
    """The modules General Image and SC Image. No attribute of DICOM is for licences; the comments hold it."""
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.InstanceNumber = 1
    ds.PatientOrientation = ""  # nobody stood there, and a generator does not know
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"
    ds.DerivationDescription = printable(provenance.sentence)[:1024]
    ds.ImageComments = printable(f"{SYNTHETIC} Licence: {provenance.origin.licence}")


def _set_pixels(ds: "Dataset", image: "NDArray[np.uint8]") -> None:
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = image.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.add_new(0x7FE00010, "OB", image.tobytes())  # an even number of bytes, as M is even


def _keep(ds: "Dataset", provenance: Provenance) -> None:
    """The provenance as JSON in a private block, which is declared to identify nobody: de-identifiers may keep it."""
    from pydicom import Dataset
    from pydicom.sequence import Sequence as Items

    ds.private_block(PRIVATE_GROUP, KEYWORD, create=True).add_new(PROVENANCE, "UT", provenance.text)
    block = Dataset()
    block.PrivateGroupReference = PRIVATE_GROUP
    block.PrivateCreatorReference = KEYWORD
    block.BlockIdentifyingInformationStatus = "SAFE"
    ds.PrivateDataElementCharacteristicsSequence = Items([block])


def _uid(*parts: str) -> str:
    """A UID below 2.25 (ISO/IEC 9834-8), from a name-based UUID of what it stands for."""
    return f"2.25.{uuid.uuid5(UIDS, ' '.join((KEYWORD, *parts))).int}"


def _line(text: str) -> str:
    """A text as VR LO takes it: short, on one line, without the separator of values."""
    return printable(text).replace("\n", " ").replace("\t", " ").replace("\\", "/")[:LONG_STRING].strip()
