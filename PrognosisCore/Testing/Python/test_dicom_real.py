"""Every real DICOM oddity in ../shared/data: read right, held against pydicom alone and GDCM, or refused in words."""

from __future__ import annotations

import fnmatch
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from PrognosisLib.errors import InputError
from PrognosisLib.images.readers import ijk_to_ras_of, read_volume

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
real = pytest.mark.real
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the real images in ../shared/data are absent")


def refusal(path: Path, modality: str = "CT") -> str:
    with pytest.raises(InputError) as error:
        read_volume(path, modality)
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


@real
@needs_data
def test_the_ge_series_with_tilt_and_variable_step():
    folder = DATA / "head-ct" / "ge-plain"
    volume = read_volume(folder)
    assert volume.grid.spacing[:2] == pytest.approx([0.4882812] * 2)
    assert 1.0 < volume.grid.slice_distance < 1.09
    assert any("18.5 degrees" in note for note in volume.notes)
    assert any("1.08 to 7.00 mm" in note for note in volume.notes)
    inverse = np.linalg.inv(volume.ijk_to_ras)
    for path in sorted(folder.glob("*.dcm")):
        dataset = pydicom.dcmread(path)
        ijk = inverse @ [*np.multiply(dataset.ImagePositionPatient, [-1, -1, 1]), 1]
        assert ijk[:2] == pytest.approx([0, 0], abs=1e-3)
        # The volume's slices around this one differ from it by no more than the way to them explains.
        near = volume.array[round(ijk[2])].astype(float)
        inside = dataset.pixel_array > -200
        assert np.corrcoef(near[inside], dataset.pixel_array[inside])[0, 1] > 0.9
    first = pydicom.dcmread(folder / "01.dcm").pixel_array
    assert np.array_equal(volume.array[0], np.where(first < -1262, -1024, first))


@real
@needs_data
@pytest.mark.parametrize(
    ("removed", "fragment"),
    [
        (["05"], "1 between '04.dcm' and '06.dcm' (8.0 mm where"),
        (["20", "21"], "2 between '19.dcm' and '22.dcm' (21.0"),
    ],
)
def test_the_ge_series_with_slices_removed(tmp_path, removed, fragment):
    for path in (DATA / "head-ct" / "ge-plain").glob("*.dcm"):
        if path.stem not in removed:
            (tmp_path / path.name).symlink_to(path)
    assert fragment in refusal(tmp_path)


# Outcome of every file and folder of real oddities, first match counts: (pattern, modality to ask for, outcome).
# An outcome is the fragment of a refusal, or the shape (k, j, i) and spacing (i, j, k) of the volume.
G, P = "geometry", "geometry/pydicom_pydicom"
CT1, CT2 = ((1, 512, 512), (0.661468, 0.661468, 5)), ((1, 512, 512), (0.468, 0.468, 10))
MR64 = ((1, 64, 64), (0.3125, 0.3125, 0.8))
TWO_FRAMES = ((2, 512, 512), (0.388672, 0.388672, 10))
FRAG = ((6, 128, 128), (2, 2, 2))
DCMQI = f"{G}/robyoung_dicom-test-files/dcmqi/segmentations"
DISC = f"{P}/dicomdirtests"
OUTCOMES = [
    ("*LICENCE_NOTE.txt", "CT", "not an image that can be read"),
    (G, "CT", "37 series where one is needed"),
    # Philips enhanced MR: one volume; ten inversion times of one slice
    (f"{G}/QIB-Sheffield_dbdicom", "MR", "2 series"),
    (f"{G}/QIB-Sheffield_dbdicom/MULTIFRAME*", "MR", ((20, 256, 256), (1.5625, 1.5625, 7))),
    (f"{G}/QIB-Sheffield_dbdicom/MOLLI_enhanced*", "MR", "10 images at 1 position "),
    # enhanced CT of two frames in every compression; all nine files are the same object
    (f"{G}/cornerstonejs_dicomParser", "CT", "2 series"),
    (f"{G}/cornerstonejs_dicomParser/multi-frame", "CT", "18 images at 2 positions"),
    (f"{G}/cornerstonejs_dicomParser/multi-frame/*", "CT", TWO_FRAMES),
    (f"{G}/cornerstonejs_dicomParser/single-frame", "CT", "2 images at 1 position "),
    (f"{G}/cornerstonejs_dicomParser/single-frame/*", "CT", CT1),
    # enhanced MR: magnitude and field map at the same positions; four times of one series
    (f"{G}/neurolabusc_dcm_qa_enh", "MR", "2 series"),
    (f"{G}/neurolabusc_dcm_qa_enh/In", "MR", "2 series"),
    (f"{G}/neurolabusc_dcm_qa_enh/In/Philips*", "MR", "64 images at 32 positions"),
    (f"{G}/neurolabusc_dcm_qa_enh/In/Siemens/XA10/*", "MR", ((6, 64, 64), (3.375, 3.375, 2.4))),
    (f"{G}/neurolabusc_dcm_qa_enh/In/Siemens*", "MR", "24 images at 6 positions"),
    # one frame in several fragments
    (f"{G}/neurolabusc_dcm_qa_frag", "MR", "2 series"),
    (f"{G}/neurolabusc_dcm_qa_frag/In", "MR", "2 series"),
    (f"{G}/neurolabusc_dcm_qa_frag/In/*/*", "MR", ((1, 128, 128), (2, 2, 2))),
    (f"{G}/neurolabusc_dcm_qa_frag/In/*", "MR", FRAG),
    # a localizer of three planes in one series
    (f"{G}/neurolabusc_dcm_qa_table*.MRDC.*", "MR", ((1, 256, 256), (0.9375, 0.9375, 15))),
    (f"{G}/neurolabusc_dcm_qa_table*", "MR", "3 orientations"),
    (f"{G}/niivue_niivue-demo-images", "CT", "holds no DICOM file"),
    (f"{G}/niivue_niivue-demo-images/CT_pitch.nii.gz", "CT", ((58, 248, 175), (0.8125, 0.8125, 2.39705))),
    (P, "CT", "20 series"),
    (f"{P}/CT_small.dcm", "CT", ((1, 128, 128), (0.661468, 0.661468, 5))),
    (f"{P}/J2K_pixelrep_mismatch.dcm", "CT", ((1, 512, 512), (0.431, 0.431, 5))),
    (f"{P}/MR_small*", "MR", MR64),
    (f"{P}/SC_*", "OT", "color image"),
    (f"{P}/liver_1frame.dcm", "CT", "is a segmentation"),
    (f"{P}/rtstruct.dcm", "CT", "radiotherapy contours"),
    (f"{DISC}/DICOMDIR-empty.dcm", "CT", "holds no DICOM file"),
    (f"{DISC}/DICOMDIR*", "CT", "13 series"),
    (DISC, "CT", "13 series"),
    (f"{DISC}/77654033", "CT", "4 series"),
    (f"{DISC}/77654033/CR*", "CR", "no position in the patient"),
    (f"{DISC}/77654033/CT2", "CT", "lacks 161 slices"),
    (f"{DISC}/77654033/CT2/*", "CT", ((1, 16, 16), (0.488281, 0.488281, 1.25))),
    (f"{DISC}/98892001", "CT", "2 series"),
    (f"{DISC}/98892001/CT2N*", "CT", "localizer"),
    (f"{DISC}/98892001/CT5N/*", "CT", ((1, 16, 16), (0.488281, 0.488281, 2.5))),
    (f"{DISC}/98892001/CT5N", "CT", ((5, 16, 16), (0.488281, 0.488281, 2.5))),
    (f"{DISC}/98892003", "MR", "7 series"),
    (f"{DISC}/98892003/MR1", "MR", "3 series"),
    (f"{DISC}/98892003/MR2", "MR", "3 series"),
    (f"{DISC}/98892003/MR700", "MR", "7 orientations"),
    (f"{DISC}/98892003/MR1/*", "MR", ((1, 16, 16), (1.367188, 1.367188, 10))),
    (f"{DISC}/98892003/MR2/15970", "MR", ((1, 16, 16), (1.367188, 1.367188, 10))),
    (f"{DISC}/98892003/MR2/*", "MR", ((1, 16, 16), (1.171875, 1.171875, 10))),
    (f"{DISC}/98892003/MR700/*", "MR", ((1, 16, 16), (0.390625, 0.390625, 1.2))),
    (f"{G}/robyoung_dicom-test-files", "CT", "10 series"),
    (f"{G}/robyoung_dicom-test-files/WG04", "CT", "5 series"),
    (f"{G}/robyoung_dicom-test-files/WG04/JPL[LY]", "CT", "2 series"),
    (f"{G}/robyoung_dicom-test-files/WG04/JPLY/MR1_JPLY", "MR", ((1, 512, 512), (0.3125, 0.3125, 0.8))),
    (f"{G}/robyoung_dicom-test-files/WG04/JPLY/MR3_JPLY", "MR", ((1, 512, 512), (0.390625, 0.390625, 6))),
    (f"{G}/robyoung_dicom-test-files/WG04/*CT1*", "CT", CT1),
    (f"{G}/robyoung_dicom-test-files/WG04/*CT2*", "CT", CT2),
    (f"{G}/robyoung_dicom-test-files/WG04/J2KR", "CT", CT2),
    (f"{G}/robyoung_dicom-test-files/WG04/*", "CT", CT1),
    (f"{G}/robyoung_dicom-test-files/dcmqi", "CT", "5 series"),
    (DCMQI, "CT", "5 series"),
    (f"{DCMQI}/*.seg.dcm", "CT", "is a segmentation"),
    (f"{DCMQI}/*/seg", "CT", "is a segmentation"),
    (f"{DCMQI}/liver.dcm", "CT", "is a segmentation"),
    (f"{DCMQI}/partial_overlaps.dcm", "CT", "is a segmentation"),
    (f"{DCMQI}/ct-3slice", "CT", ((3, 512, 512), (0.810547, 0.810547, 1))),
    (f"{DCMQI}/ct-3slice/*", "CT", ((1, 512, 512), (0.810547, 0.810547, 1.25))),
    (f"{DCMQI}/2?x38x3", "CT", "2 series"),
    (f"{DCMQI}/23x38x3/image/*", "CT", ((1, 38, 23), (0.7, 0.7, 2.5))),
    (f"{DCMQI}/24x38x3/image/*", "CT", ((1, 38, 24), (0.7, 0.7, 2.5))),
    (f"{DCMQI}/23x38x3/*", "CT", ((3, 38, 23), (0.7, 0.7, 2.5))),
    (f"{DCMQI}/24x38x3/*", "CT", ((3, 38, 24), (0.7, 0.7, 2.5))),
    # ultrasound is read as cine elsewhere; as a volume it is refused
    ("ultrasound", "US", "6 series"),
    ("ultrasound/cornerstonejs_dicomParser", "US", "color image"),
    ("ultrasound/pydicom_pydicom*/JPGLosslessP14SV1_1s_1f_8b.dcm", "US", "no position in the patient"),
    ("ultrasound/pydicom_pydicom", "US", "3 series"),
    ("ultrasound/pydicom_pydicom-data", "US", "4 series"),
    ("ultrasound/*", "US", "color image"),
]


def every_path() -> list[str]:
    root = DATA / "dicom"
    folders = ("geometry", "ultrasound")
    return sorted(
        str(p.relative_to(root)) for name in folders for p in [root / name, *(root / name).rglob("*")] if root.is_dir()
    )


def frames_of(path: Path):
    """Position, directions and values of every frame by pydicom alone, independent of the reader (LPS)."""
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        try:
            dataset = pydicom.dcmread(file)
        except pydicom.errors.InvalidDicomError:
            continue
        try:
            stored = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns).astype(float)
            rescaled = False
        except RuntimeError:  # 12-bit JPEG, which only GDCM decodes, and rescales
            rescaled = True
            stored = sitk.GetArrayFromImage(sitk.ReadImage(str(file))).astype(float)
        for n in range(len(stored)):
            source = [dataset]
            if "PerFrameFunctionalGroupsSequence" in dataset:
                own, shared = dataset.PerFrameFunctionalGroupsSequence[n], dataset.SharedFunctionalGroupsSequence[0]
                source = [item.value[0] for group in (own, shared) for item in group if item.VR == "SQ" and item.value]

            def tag(keyword, source=source, default=None):
                return next((s[keyword].value for s in source if keyword in s), default)

            slope, intercept = float(tag("RescaleSlope", default=1)), float(tag("RescaleIntercept", default=0))
            values = stored[n] if rescaled else stored[n] * slope + intercept
            directions = np.array(tag("ImageOrientationPatient"), dtype=float).reshape(2, 3)
            yield np.array(tag("ImagePositionPatient"), dtype=float), directions, tag("PixelSpacing"), values


def check_against_pydicom(volume, path: Path) -> None:
    """Every corner of every frame of the files lies on its voxel, with its value (padding became air)."""
    inverse = np.linalg.inv(volume.ijk_to_ras)
    seen = set()
    for position, directions, spacing, values in frames_of(path):
        rows, columns = values.shape
        for i, j in ((0, 0), (columns - 1, 0), (0, rows - 1), (columns - 1, rows - 1)):
            point = position + directions[0] * spacing[1] * i + directions[1] * spacing[0] * j
            ijk = inverse @ [-point[0], -point[1], point[2], 1]
            k = round(ijk[2])
            assert ijk[:3] == pytest.approx([i, j, k], abs=0.01)
        seen.add(k)
        tissue = values >= -1024
        assert np.abs(volume.array[k][tissue] - values[tissue]).max() <= 1e-3 * max(1.0, np.abs(values).max() / 1000)
    assert seen == set(range(volume.array.shape[0]))


@real
@needs_data
@pytest.mark.parametrize("relative", every_path())
def test_real_oddities_are_read_right_or_refused(relative, capfd):
    modality, outcome = next((m, o) for pattern, m, o in OUTCOMES if fnmatch.fnmatchcase(relative, pattern))
    path = DATA / "dicom" / relative
    if isinstance(outcome, str):
        assert outcome in refusal(path, modality)
        if modality != "CT" and path.is_file():
            assert "where CT is needed" in (text := refusal(path)) or "color image" in text
        assert capfd.readouterr().err == ""
        return
    volume = read_volume(path, modality)
    assert capfd.readouterr().err == ""
    shape, spacing = outcome
    assert volume.array.shape == shape
    assert volume.grid.spacing == pytest.approx(spacing, abs=1e-3)
    if path.suffix == ".gz":
        assert volume.ijk_to_ras == pytest.approx(ijk_to_ras_of(sitk.ReadImage(str(path))), abs=1e-4)
        return
    check_against_pydicom(volume, path)
    if path.is_file() and shape[0] == 1:
        matrix = ijk_to_ras_of(sitk.ReadImage(str(path)))
        assert volume.ijk_to_ras[:, [0, 1, 3]] == pytest.approx(matrix[:, [0, 1, 3]], abs=1e-3)


@real
@needs_data
@pytest.mark.parametrize(
    "relative",
    ["geometry/neurolabusc_dcm_qa_frag/In/6001_anat-T1w_acq-tfl", f"{DCMQI}/ct-3slice", f"{DISC}/98892001/CT5N"],
)
def test_real_series_agree_with_gdcm(relative):
    folder = str(DATA / "dicom" / relative)
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(folder))
    volume = read_volume(folder, "MR" if "T1w" in relative else "CT")
    assert volume.ijk_to_ras == pytest.approx(ijk_to_ras_of(image), abs=1e-3)
    values = sitk.GetArrayFromImage(image)
    assert np.array_equal(volume.array, np.where(values < -2024, -1024, values))
