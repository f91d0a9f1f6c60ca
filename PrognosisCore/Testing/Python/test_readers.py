"""NIfTI, NRRD and MetaImage files read right or refused in a sentence."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from PrognosisLib.errors import InputError
from PrognosisLib.images.readers import ijk_to_ras_of, read_volume, sha256_of

NIFTI_CODES = {"uint8": 2, "int16": 4, "int32": 8, "float32": 16, "float64": 64, "int8": 256, "uint16": 512}


def one_sentence(error: pytest.ExceptionInfo) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert "Traceback" not in text
    return text


def nifti_bytes(
    array, matrix, codes=(0, 1), quaternion=(0,) * 6, order="<", slope=0.0, intercept=0.0, units=2, dim=None
):
    """A NIfTI-1 file written here from the standard's layout, with any matrix in its sform. `codes`: qform, sform."""
    header = bytearray(348)
    dim = dim or (3, *array.shape[::-1], 1, 1, 1, 1)
    pixdim = (1.0, *np.linalg.norm(matrix[:3, :3], axis=0), 1, 1, 1, 1)
    for at, code, values in (
        (0, "i", (348,)),
        (40, "8h", dim),
        (70, "2h", (NIFTI_CODES[array.dtype.name], array.dtype.itemsize * 8)),
        (76, "8f", pixdim),
        (108, "3f", (352.0, slope, intercept)),
        (123, "B", (units,)),
        (252, "2h", codes),
        (256, "6f", quaternion),
        (280, "12f", np.asarray(matrix)[:3].ravel()),
        (344, "4s", (b"n+1",)),
    ):
        struct.pack_into(order + code, header, at, *values)
    return bytes(header) + bytes(4) + array.astype(array.dtype.newbyteorder(order)).tobytes()


def nifti2_bytes(array, matrix):
    header = bytearray(540)
    for at, code, values in (
        (0, "i", (540,)),
        (4, "8s", (b"n+2\0\r\n\032\n",)),
        (12, "2h", (NIFTI_CODES[array.dtype.name], array.dtype.itemsize * 8)),
        (16, "8q", (3, *array.shape[::-1], 1, 1, 1, 1)),
        (104, "8d", (1.0, *np.linalg.norm(matrix[:3, :3], axis=0), 1, 1, 1, 1)),
        (168, "q", (544,)),
        (344, "2i", (0, 1)),
        (400, "12d", np.asarray(matrix)[:3].ravel()),
        (500, "i", (2,)),
    ):
        struct.pack_into("<" + code, header, at, *values)
    return bytes(header) + bytes(4) + array.tobytes()


def rotation(quaternion) -> np.ndarray:
    w, x, y, z = np.asarray(quaternion) / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


@st.composite
def matrices(draw, shear: bool) -> np.ndarray:
    """IJK-to-RAS: any rotation, flips, spacings, origin; optionally shear of k against i and j."""
    unit = st.floats(-1, 1, allow_nan=False, width=32)
    quaternion = draw(st.tuples(unit, unit, unit, unit).filter(lambda q: np.linalg.norm(q) > 0.1))
    spacing = [draw(st.floats(0.3, 8.0)) for _ in range(3)]
    flips = [draw(st.sampled_from([-1.0, 1.0])) for _ in range(3)]
    matrix = np.eye(4)
    slant = np.eye(3)
    if shear:
        slant[:2, 2] = [draw(st.floats(-0.6, 0.6)) for _ in range(2)]
    matrix[:3, :3] = rotation(quaternion) @ slant @ np.diag(np.multiply(spacing, flips))
    matrix[:3, 3] = [draw(st.floats(-500, 500)) for _ in range(3)]
    return matrix


def ramp(shape=(3, 4, 5), dtype=np.int16) -> np.ndarray:
    return (np.arange(np.prod(shape)).reshape(shape) * 3 - 50).astype(dtype)


@settings(max_examples=60, deadline=None)
@given(matrix=matrices(shear=True), zipped=st.booleans())
def test_nifti_keeps_any_affine_with_its_shear(tmp_path_factory, matrix, zipped):
    raw = nifti_bytes(ramp(), matrix)
    path = tmp_path_factory.mktemp("nii") / ("image.nii.gz" if zipped else "image.nii")
    path.write_bytes(gzip.compress(raw) if zipped else raw)
    volume = read_volume(path)
    assert volume.ijk_to_ras == pytest.approx(matrix, abs=1e-4)
    assert volume.array.dtype == np.int16
    assert np.array_equal(volume.array, ramp())
    assert volume.notes == ()


@settings(max_examples=40, deadline=None)
@given(matrix=matrices(shear=False), ending=st.sampled_from([".nrrd", ".mha", ".nii.gz", ".nhdr", ".mhd"]))
def test_files_written_by_itk_come_back_in_place(tmp_path_factory, matrix, ending):
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image = sitk.GetImageFromArray(ramp())
    image.SetSpacing(spacing)
    image.SetDirection((lps[:3, :3] / spacing).ravel())
    image.SetOrigin(lps[:3, 3])
    path = tmp_path_factory.mktemp("itk") / f"image{ending}"
    sitk.WriteImage(image, str(path), True)
    volume = read_volume(path, "MR")
    assert volume.ijk_to_ras == pytest.approx(matrix, abs=2e-3)
    assert volume.array.dtype == np.int16
    assert np.array_equal(volume.array, ramp())
    assert (volume.modality, volume.name) == ("MR", path.name)


def test_sheared_nrrd_and_metaimage_keep_their_shear(tmp_path):
    array = ramp()
    nrrd = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 5 4 3\n"
        "space directions: (1,0,0) (0,1,0) (0,0.5,2)\nkinds: domain domain domain\nendian: little\nencoding: raw\n"
        "space origin: (1,2,3)\n\n"
    )
    (tmp_path / "a.nrrd").write_bytes(nrrd.encode() + array.tobytes())
    matrix = read_volume(tmp_path / "a.nrrd").ijk_to_ras
    assert matrix == pytest.approx(np.array([[-1, 0, 0, -1], [0, -1, -0.5, -2], [0, 0, 2, 3], [0, 0, 0, 1]]), abs=1e-9)


def test_nifti_2(tmp_path):
    matrix = np.array([[0, 0.2, 3, 10], [-1.5, 0, 0, -20], [0, 0.9, 0, 30], [0, 0, 0, 1.0]])
    (tmp_path / "a.nii").write_bytes(nifti2_bytes(ramp(), matrix))
    volume = read_volume(tmp_path / "a.nii")
    assert volume.ijk_to_ras == pytest.approx(matrix)
    assert np.array_equal(volume.array, ramp())


def test_nifti_big_endian_micrometers_and_integer_scaling(tmp_path):
    matrix = np.diag([700.0, 800.0, 2500.0, 1.0])
    array = np.arange(60, dtype=np.uint16).reshape(3, 4, 5) * 50
    (tmp_path / "a.nii.gz").write_bytes(
        gzip.compress(nifti_bytes(array, matrix, order=">", slope=1.0, intercept=-1024.0, units=3))
    )
    volume = read_volume(tmp_path / "a.nii.gz")
    assert volume.array.dtype == np.int16
    assert np.array_equal(volume.array, array.astype(np.int16) - 1024)
    assert volume.grid.spacing == pytest.approx([0.7, 0.8, 2.5])


@pytest.mark.parametrize(
    ("stored", "slope", "read"),
    [
        (np.uint8, 0.0, np.uint8),
        (np.uint8, 1.57, np.float32),
        (np.int32, 0.0, np.int16),
        (np.uint16, 0.0, np.int16),
        (np.float64, 0.0, np.float32),
        (np.float32, 0.0, np.float32),
    ],
)
def test_types_stay_small(tmp_path, stored, slope, read):
    array = np.arange(60).reshape(3, 4, 5).astype(stored)
    (tmp_path / "a.nii.gz").write_bytes(
        gzip.compress(nifti_bytes(array, np.eye(4), slope=slope, intercept=-7.5 * slope))
    )
    volume = read_volume(tmp_path / "a.nii.gz")
    assert volume.array.dtype == read
    assert volume.array == pytest.approx(array * (slope or 1.0) - 7.5 * slope, abs=1e-4)


def test_large_integers_are_not_wrapped(tmp_path):
    array = np.array([[[40000, 65535]]], dtype=np.uint16)
    (tmp_path / "a.nii").write_bytes(nifti_bytes(array, np.eye(4)))
    assert read_volume(tmp_path / "a.nii").array.tolist() == [[[40000, 65535]]]


def test_qform_alone_gives_the_rotation_and_flip(tmp_path):
    image = sitk.GetImageFromArray(ramp())
    image.SetSpacing((0.7, 1.1, 2.5))
    image.SetOrigin((5, -6, 7))
    direction = rotation((0.9, 0.2, -0.3, 0.1)) @ np.diag([1, 1, -1])
    image.SetDirection(direction.ravel())
    sitk.WriteImage(image, str(tmp_path / "a.nii"))
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    struct.pack_into("<2h", raw, 252, 1, 0)  # the qform only
    struct.pack_into("<12f", raw, 280, *[9.0] * 12)
    (tmp_path / "a.nii").write_bytes(raw)
    assert read_volume(tmp_path / "a.nii").ijk_to_ras == pytest.approx(ijk_to_ras_of(image), abs=1e-5)


def test_template_space_gives_way_to_the_scanner_and_disagreement_is_noted(tmp_path):
    sform = np.diag([2.0, 2.0, 2.0, 1.0])
    raw = bytearray(nifti_bytes(ramp(), sform, codes=(1, 4), quaternion=(0, 0, 0, 50, 60, 70)))
    struct.pack_into("<8f", raw, 76, 1, 1.5, 1.5, 3.0, 1, 1, 1, 1)
    (tmp_path / "a.nii").write_bytes(raw)
    volume = read_volume(tmp_path / "a.nii")
    assert volume.grid.spacing == pytest.approx([1.5, 1.5, 3.0])
    assert "disagree" in volume.notes[0]
    struct.pack_into("<2h", raw, 252, 1, 2)
    (tmp_path / "a.nii").write_bytes(raw)
    volume = read_volume(tmp_path / "a.nii")
    assert volume.grid.spacing == pytest.approx([2.0, 2.0, 2.0])
    assert "sform was used" in volume.notes[0]


def test_nifti_without_orientation_is_noted(tmp_path):
    (tmp_path / "a.nii").write_bytes(nifti_bytes(ramp(), np.diag([2.0, 2.0, 3.0, 1.0]), codes=(0, 0)))
    volume = read_volume(tmp_path / "a.nii")
    assert volume.grid.spacing == pytest.approx([2, 2, 3])
    assert "no orientation" in volume.notes[0]


def zipped(raw: bytes) -> bytes:
    return gzip.compress(raw)


def flipped(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 0xFF]) + raw[at + 1 :]


NOISE = np.random.default_rng(0).integers(-1000, 1000, (10, 40, 40)).astype(np.int16)
GOOD = nifti_bytes(NOISE, np.eye(4))
NO_SFORM = nifti_bytes(ramp(), np.eye(4), codes=(0, 0))
META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\n"
    "ElementSpacing = {}\nDimSize = 5 4 3\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
)


@pytest.mark.parametrize(
    ("name", "content", "fragment"),
    [
        ("empty.nii.gz", b"", "is empty"),
        ("notes.txt", b"hello", "not an image that can be read"),
        ("text.nii.gz", b"hello", "not a NIfTI"),
        ("zeros.nii", bytes(1000), "not a NIfTI"),
        ("half.nii.gz", zipped(GOOD)[: len(zipped(GOOD)) // 2], "cut short"),
        ("nearly.nii.gz", zipped(GOOD)[:-3], "cut short"),
        ("flip.nii.gz", flipped(zipped(GOOD), len(zipped(GOOD)) // 2), "damaged"),
        ("whole-zip-short-data.nii.gz", zipped(GOOD[:-10]), "cut short"),
        ("half.nii", GOOD[:-10], "cut short"),
        ("pair.nii", GOOD[:344] + b"ni1\0" + GOOD[348:], "another file"),
        ("four.nii", nifti_bytes(ramp(), np.eye(4), dim=(4, 5, 4, 1, 3, 1, 1, 1)), "4-D"),
        ("vector.nii", nifti_bytes(ramp(), np.eye(4), dim=(5, 5, 4, 1, 1, 3, 1, 1)), "one gray-value volume"),
        ("dims.nii", nifti_bytes(ramp(), np.eye(4), dim=(3, 5, -4, 3, 1, 1, 1, 1)), "impossible dimensions"),
        ("rgb.nii", GOOD[:70] + struct.pack("<h", 128) + GOOD[72:], "color"),
        ("complex.nii", GOOD[:70] + struct.pack("<h", 32) + GOOD[72:], "complex"),
        ("zero.nii", nifti_bytes(ramp(), np.diag([1.0, 0.0, 1.0, 1.0])), "spacing of zero"),
        ("nan.nii", nifti_bytes(ramp(), np.diag([1.0, np.nan, 1.0, 1.0])), "no valid geometry"),
        ("negative.nii", NO_SFORM[:80] + struct.pack("<f", -1.0) + NO_SFORM[84:], "negative voxel spacing"),
        ("zero.mha", META.format("0 1 2").encode() + ramp().tobytes(), "zero or negative voxel spacing"),
        ("negative.mha", META.format("1 -1 2").encode() + ramp().tobytes(), "zero or negative voxel spacing"),
        ("short.mha", META.format("1 1 2").encode() + ramp().tobytes()[:-9], "damaged"),
        ("text.nrrd", b"hello", "not a valid image"),
        ("text.mha", b"hello", "not a valid image"),
    ],
)
def test_bad_files_are_refused_in_a_sentence_and_nothing_leaks(tmp_path, capfd, name, content, fragment):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        read_volume(tmp_path / name)
    assert fragment in one_sentence(error)
    assert name in str(error.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("ending", [".mha", ".nrrd"])
def test_a_flipped_bit_in_a_compressed_image_is_noticed(tmp_path, capfd, ending):
    path = tmp_path / f"a{ending}"
    sitk.WriteImage(sitk.GetImageFromArray(NOISE), str(path), True)
    assert np.array_equal(read_volume(path).array, NOISE)
    path.write_bytes(flipped(path.read_bytes(), path.stat().st_size // 2))
    with pytest.raises(InputError, match="damaged"):
        read_volume(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_color_vector_4d_and_2d_images_are_refused(tmp_path, ending):
    path = str(tmp_path / f"a{ending}")
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((3, 4, 5, 3), np.uint8), isVector=True), path)
    with pytest.raises(InputError, match="3 values per voxel"):
        read_volume(path)
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 3, 4, 5), np.int16), isVector=False), path)
    with pytest.raises(InputError, match="one gray-value volume"):
        read_volume(path)
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5), np.int16)), path)
    with pytest.raises(InputError, match="2-D picture"):
        read_volume(path)


def test_a_trailing_dimension_of_one_is_dropped(tmp_path):
    (tmp_path / "a.nii.gz").write_bytes(zipped(nifti_bytes(ramp(), np.eye(4), dim=(4, 5, 4, 3, 1, 1, 1, 1))))
    assert read_volume(tmp_path / "a.nii.gz").array.shape == (3, 4, 5)
    sitk.WriteImage(sitk.GetImageFromArray(ramp()[None], isVector=False), str(tmp_path / "a.nrrd"))
    assert np.array_equal(read_volume(tmp_path / "a.nrrd").array, ramp())


def test_missing_paths_and_permission(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="There is no file or folder"):
        read_volume(tmp_path / "absent.nii.gz")
    path = tmp_path / "a.nii"
    path.write_bytes(GOOD)

    def refuse(file, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(file))

    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", refuse)
        with pytest.raises(InputError, match="no permission"):
            read_volume(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_a_locked_file_is_refused(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(GOOD)
    path.chmod(0)
    with pytest.raises(InputError, match="no permission"):
        read_volume(path)


def test_sha256_of_files_and_folders(tmp_path):
    (tmp_path / "x" / "sub").mkdir(parents=True)
    (tmp_path / "x" / "a").write_bytes(b"abc")
    (tmp_path / "x" / "sub" / "b").write_bytes(b"def")
    assert sha256_of(tmp_path / "x" / "a") == hashlib.sha256(b"abc").hexdigest()
    before = sha256_of(tmp_path / "x")
    assert before == sha256_of(str(tmp_path / "x"))
    (tmp_path / "x" / "sub" / "b").rename(tmp_path / "x" / "sub" / "c")
    renamed = sha256_of(tmp_path / "x")
    (tmp_path / "x" / "sub" / "c").write_bytes(b"deg")
    assert len({before, renamed, sha256_of(tmp_path / "x")}) == 3
    with pytest.raises(InputError, match="cannot be read"):
        sha256_of(tmp_path / "absent")
