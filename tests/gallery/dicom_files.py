"""DICOM files, made from their parts."""

import io
from typing import Any

import numpy as np
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)

PATIENT = "Secret^Patient"


def scan(samples: np.ndarray, *, syntax: str = ExplicitVRLittleEndian, **tags: Any) -> bytes:
    """A file of one frame, (rows, columns) or (rows, columns, 3); `tags` by keyword add to its own and replace them."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID, dataset.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    dataset.PatientName = PATIENT
    dataset.PatientID = PATIENT
    dataset.InstitutionName = PATIENT
    dataset.Rows, dataset.Columns = samples.shape[:2]
    dataset.SamplesPerPixel = 3 if samples.ndim > 2 else 1
    dataset.PhotometricInterpretation = "RGB" if samples.ndim > 2 else "MONOCHROME2"
    dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = samples.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(samples.dtype.kind == "i")
    dataset.PixelData = samples.tobytes()
    dataset["PixelData"].VR = "OB" if samples.dtype.itemsize == 1 else "OW"
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    buffer = io.BytesIO()
    dataset.save_as(
        buffer,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
        enforce_file_format=True,
    )
    return buffer.getvalue()
