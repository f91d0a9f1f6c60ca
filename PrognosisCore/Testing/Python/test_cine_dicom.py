"""Ultrasound DICOM in every encoding and kind of color: the frames as stored, their times and calibrated regions."""

from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pytest
from cine_cases import by_gdcm, film, in_color, jpeg, region, save, ultrasound
from pydicom.pixels import convert_color_space
from pydicom.uid import (
    JPEG2000,
    MPEG4HP41,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from PrognosisLib.errors import InputError
from PrognosisLib.images.cine.cine import to_gray
from PrognosisLib.images.cine.reading import read_cine

GRAY = film()
RGB = in_color(GRAY)
RGB[:, 40:60, 50:70, 0] = 200  # a patch that is not gray
LOSSLESS = [JPEG2000Lossless, JPEGLSLossless, RLELossless]


def frames_of(path) -> np.ndarray:
    return np.stack(list(read_cine(path).frames()))


def refusal(path) -> str:
    with pytest.raises(InputError) as error:
        list(read_cine(path).frames())
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


# --- pixels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [GRAY, RGB, GRAY.astype(np.uint16) * 250], ids=["gray", "rgb", "gray 16"])
@pytest.mark.parametrize("encoding", ["explicit", "implicit", "big-endian", "deflated", *LOSSLESS])
def test_lossless_encodings_are_exact(tmp_path, frames, encoding):
    dataset = ultrasound(frames)
    if encoding in LOSSLESS:
        dataset.compress(encoding, generate_instance_uid=False)
    elif encoding == "implicit":
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    elif encoding == "deflated":
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    elif encoding == "big-endian":
        dataset.PixelData = frames.astype(frames.dtype.newbyteorder(">")).tobytes()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        dataset.set_original_encoding(False, False)
    cine = read_cine(save(dataset, tmp_path / "cine.dcm"))
    assert cine.source.shape == frames.shape
    assert np.array_equal(np.stack(list(cine.frames())), frames)
    assert cine.frame(0).dtype == frames.dtype
    assert np.array_equal(cine.window(2, 5), to_gray(frames[2:5]))
    assert np.array_equal(cine.frame(-1), frames[-1])


@pytest.mark.parametrize("syntax", ["JPEGLosslessProcess14_1", "JPEGLosslessProcess14"])
@pytest.mark.parametrize("frames", [GRAY, RGB], ids=["gray", "rgb"])
def test_jpeg_lossless_is_exact(tmp_path, syntax, frames):
    path = by_gdcm(ultrasound(frames), syntax, tmp_path)
    assert np.array_equal(frames_of(path), frames)


@pytest.mark.parametrize("syntax", [JPEG2000, JPEGLSNearLossless])
def test_lossy_encodings_are_close(tmp_path, syntax):
    dataset = ultrasound(GRAY)
    options = {"j2k_cr": [4]} if syntax == JPEG2000 else {"jls_error": 3}
    dataset.compress(syntax, generate_instance_uid=False, **options)
    assert np.abs(frames_of(save(dataset, tmp_path / "cine.dcm")).astype(int) - GRAY).mean() < 6


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("fragments", [1, 3])
@pytest.mark.parametrize("frames", [GRAY, in_color(GRAY)], ids=["gray", "color"])
def test_jpeg_baseline_in_fragments_with_and_without_table(tmp_path, frames, fragments, table):
    path = save(jpeg(frames, fragments, table), tmp_path / "cine.dcm")
    cine = read_cine(path)
    found = np.stack(list(cine.gray_frames()))
    assert found.shape == GRAY.shape
    assert np.abs(found.astype(int) - GRAY).mean() < 3
    if frames.ndim == 4:  # the luma as stored; color is rounded once more
        assert np.abs(to_gray(np.stack(list(cine.frames()))).astype(int) - found).max() <= 2
    for index in (5, 1, 7):
        assert np.array_equal(cine.frame(index, gray=True), found[index])


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
def test_interleaved_and_planar_color(tmp_path, photometric, planar):
    stored = RGB if photometric == "RGB" else convert_color_space(RGB, "RGB", "YBR_FULL")
    expected = RGB if photometric == "RGB" else convert_color_space(stored, "YBR_FULL", "RGB")
    data = np.moveaxis(stored, -1, 1) if planar else stored
    dataset = ultrasound(RGB, PhotometricInterpretation=photometric, PlanarConfiguration=planar)
    dataset.PixelData = np.ascontiguousarray(data).tobytes()
    assert np.array_equal(frames_of(save(dataset, tmp_path / "cine.dcm")), expected)


def test_gray_stored_as_ybr_is_exact(tmp_path):
    for name in ("YBR_FULL", "YBR_FULL_422"):
        luma = GRAY.reshape(*GRAY.shape[:2], -1, 2)
        half = np.full((*luma.shape[:3], 2), 128, np.uint8)
        stored = np.concatenate([luma, half], axis=-1)
        if name == "YBR_FULL":
            stored = np.stack([GRAY, np.full_like(GRAY, 128), np.full_like(GRAY, 128)], axis=-1)
        dataset = ultrasound(in_color(GRAY), PhotometricInterpretation=name)
        dataset.PixelData = stored.tobytes()
        cine = read_cine(save(dataset, tmp_path / "cine.dcm"))
        assert np.array_equal(cine.window(0, 8), GRAY)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("is_gray", [True, False])
@pytest.mark.parametrize("syntax", [None, RLELossless, ExplicitVRBigEndian])
def test_palettes(tmp_path, bits, is_gray, syntax):
    colors = np.stack([np.arange(256), np.arange(256)[::-1] if not is_gray else np.arange(256), np.arange(256)], -1)
    dataset = ultrasound(GRAY, PhotometricInterpretation="PALETTE COLOR")
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    for n, name in enumerate(("Red", "Green", "Blue")):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [256, 0, bits])
        table = colors[:, n] if bits == 8 else colors[:, n] * 257
        setattr(dataset, f"{name}PaletteColorLookupTableData", table.astype(f"{order}u{bits // 8}").tobytes())
    if syntax == RLELossless:
        dataset.compress(syntax, generate_instance_uid=False)
    elif syntax:
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.set_original_encoding(False, False)
    found = frames_of(save(dataset, tmp_path / "cine.dcm"))
    assert np.array_equal(found, GRAY if is_gray else colors[GRAY])
    assert found.dtype == np.uint8


def test_monochrome1_is_turned_round_and_noted(tmp_path):
    cine = read_cine(save(ultrasound(255 - GRAY, PhotometricInterpretation="MONOCHROME1"), tmp_path / "cine.dcm"))
    assert np.array_equal(cine.window(0, 8), GRAY)
    assert any("inverted" in note for note in cine.notes)


def test_a_data_set_without_file_header(tmp_path):
    dataset = ultrasound(RGB)
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    whole = save(dataset, tmp_path / "whole").read_bytes()
    (tmp_path / "bare").write_bytes(whole[whole.index(b"\x08\x00\x16\x00") :])
    assert np.array_equal(frames_of(tmp_path / "bare"), RGB)


@pytest.mark.parametrize("frames", [GRAY, RGB], ids=["gray", "rgb"])
def test_gdcm_steps_in_where_pydicom_has_no_decoder(tmp_path, frames, monkeypatch):
    """As in Slicer, which comes without the plugins."""
    import pydicom.pixels

    path = by_gdcm(ultrasound(frames), "JPEGLosslessProcess14_1", tmp_path)

    def missing(*_arguments, **_options):
        raise RuntimeError("no decoder")
        yield

    monkeypatch.setattr(pydicom.pixels, "iter_pixels", missing)
    assert np.array_equal(frames_of(path), frames)


# --- memory and copies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_compressed", [False, True])
def test_memory_does_not_grow_with_the_length(tmp_path, is_compressed):
    frames = np.tile(film(4, (200, 256)), (60, 1, 1))
    dataset = ultrasound(frames)
    if is_compressed:
        dataset.compress(RLELossless, generate_instance_uid=False)
    cine = read_cine(save(dataset, tmp_path / "cine.dcm"))
    next(cine.frames())
    tracemalloc.start()
    total = sum(int(frame.sum()) for frame in cine.gray_frames())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == int(frames.sum())
    assert peak < 20 * 200 * 256


def test_a_cine_can_be_sent_to_another_process(tmp_path):
    cine = read_cine(save(ultrasound(RGB), tmp_path / "cine.dcm"))
    assert np.array_equal(pickle.loads(pickle.dumps(cine)).frame(3), RGB[3])


# --- times ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "times", "note"),
    [
        ({}, np.arange(8) * 0.04, ""),
        ({"FrameTimeVector": [0, 10, 20, 30, 40, 50, 60, 70]}, np.arange(8) * 0.04, ""),
        (
            {"FrameTimeVector": [0, 10, 20, 30, 40, 50, 60, 70], "FrameIncrementPointer": 0x00181065},
            np.cumsum([0, 10, 20, 30, 40, 50, 60, 70]) / 1000,
            "",
        ),
        (
            {"FrameTimeVector": [5] * 7, "FrameTime": None, "FrameIncrementPointer": 0x00181065},
            np.arange(8) * 0.005,
            "",
        ),
        ({"FrameTimeVector": [0, 10], "FrameIncrementPointer": 0x00181065}, np.arange(8) * 0.04, ""),
        ({"FrameTime": None, "CineRate": 50}, np.arange(8) * 0.02, "display"),
        ({"FrameTime": "0", "RecommendedDisplayFrameRate": 20}, np.arange(8) * 0.05, "display"),
        ({"FrameTime": None}, np.arange(8) * 0.04, "assumed"),
    ],
)
def test_times_of_frames(tmp_path, tags, times, note):
    cine = read_cine(save(ultrasound(GRAY, **tags), tmp_path / "cine.dcm"))
    assert cine.times_s == pytest.approx(times)
    assert any(note in text for text in cine.notes) if note else not any("second" in text for text in cine.notes)


# --- regions and pixel size -------------------------------------------------------------------------------------------


def test_pixel_size_is_that_of_the_largest_tissue_region(tmp_path):
    regions = [
        region((0, 90, 127, 95), RegionSpatialFormat=4, RegionDataType=10, PhysicalUnitsXDirection=4),
        region((0, 0, 20, 20), PhysicalDeltaX=0.01, PhysicalDeltaY=0.01),
        region((20, 10, 110, 90), PhysicalDeltaX=-0.03),
    ]
    cine = read_cine(save(ultrasound(GRAY, SequenceOfUltrasoundRegions=regions), tmp_path / "cine.dcm"))
    assert cine.pixel_mm == pytest.approx((0.4, 0.3))
    assert [one.kind for one in cine.regions] == ["ECG trace", "tissue", "tissue"]
    assert any("several regions of different pixel size" in note for note in cine.notes)
    assert cine.ijk_to_ras == pytest.approx(np.diag([-0.3, -0.4, 1, 1]))


@pytest.mark.parametrize(
    ("tags", "pixel", "note"),
    [
        ({"PixelSpacing": [0.5, 0.25]}, (0.5, 0.25), ""),
        ({}, None, "does not tell the size"),
        ({"PixelSpacing": [7, 7]}, None, "no ultrasound has"),
        ({"PixelSpacing": [0, 0]}, None, "no ultrasound has"),
        ({"SequenceOfUltrasoundRegions": [region((0, 0, 500, 400))], "PixelSpacing": [0.5, 0.5]}, None, "rescaled"),
        ({"SequenceOfUltrasoundRegions": [region((0, 0, 128, 96))]}, (0.4, 0.3), ""),
        ({"SequenceOfUltrasoundRegions": [region((0, 0, 99, 90), PhysicalDeltaY=2.0)]}, None, "no ultrasound has"),
        (
            {
                "SequenceOfUltrasoundRegions": [region((0, 0, 99, 90), PhysicalUnitsXDirection=0)],
                "PixelSpacing": [0.5, 0.5],
            },
            (0.5, 0.5),
            "",
        ),
    ],
)
def test_pixel_size_is_not_believed_where_it_cannot_be(tmp_path, tags, pixel, note):
    cine = read_cine(save(ultrasound(GRAY, **tags), tmp_path / "cine.dcm"))
    assert cine.pixel_mm == (pixel if pixel is None else pytest.approx(pixel))
    assert any(note in text for text in cine.notes) if note else cine.notes == ()


@pytest.mark.parametrize(("said", "burned_in"), [("YES", True), ("NO", False), (None, None)])
def test_burned_in_annotation(tmp_path, said, burned_in):
    tags = {"BurnedInAnnotation": said} if said else {}
    assert read_cine(save(ultrasound(GRAY, **tags), tmp_path / "cine.dcm")).burned_in is burned_in


# --- a file for each frame --------------------------------------------------------------------------------------------


def write_stills(folder, frames=GRAY, **tags) -> None:
    """Single images of one series whose names are not in the order of their numbers."""
    for number, frame in enumerate(frames):
        own = {key: value(number) if callable(value) else value for key, value in tags.items()}
        dataset = ultrasound(frame[None], **{"SeriesInstanceUID": "1.2.3", "InstanceNumber": number + 1, **own})
        save(dataset, folder / f"image{(number * 5) % 8}.dcm")


def test_single_images_of_one_series_are_a_cine(tmp_path):
    write_stills(
        tmp_path,
        AcquisitionTime=lambda number: f"120059.{number + 1}00000",
        SequenceOfUltrasoundRegions=[region((0, 0, 90, 90))],
        BurnedInAnnotation=lambda number: "YES" if number == 3 else "NO",
    )
    cine = read_cine(tmp_path)
    assert np.array_equal(cine.window(0, 8), GRAY)
    assert np.array_equal(cine.frame(-2), GRAY[6])
    assert cine.times_s == pytest.approx(np.arange(8) / 10)
    assert cine.pixel_mm == pytest.approx((0.4, 0.3))
    assert cine.burned_in is True
    assert np.array_equal(pickle.loads(pickle.dumps(cine)).frame(3), GRAY[3])


def test_single_images_without_times_are_at_the_frame_time(tmp_path):
    write_stills(tmp_path, AcquisitionTime="120000")
    assert read_cine(tmp_path).times_s == pytest.approx(np.arange(8) * 0.04)


def test_single_images_that_make_no_cine_are_refused(tmp_path):
    write_stills(tmp_path)
    save(ultrasound(GRAY[:1], SeriesInstanceUID="1.2.3", PixelSpacing=[0.5, 0.5]), tmp_path / "x.dcm")
    assert "pixels of another size" in refusal(tmp_path)
    save(ultrasound(GRAY[:1, :50], SeriesInstanceUID="1.2.3"), tmp_path / "x.dcm")
    assert "differs from" in refusal(tmp_path)
    save(ultrasound(GRAY, SeriesInstanceUID="1.2.3"), tmp_path / "x.dcm")
    assert "9 cines where one is needed" in refusal(tmp_path)
    save(ultrasound(GRAY[:1]), tmp_path / "x.dcm")
    assert "2 series" in refusal(tmp_path)


# --- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "fragment"),
    [
        ({"Modality": "CT", "SOPClassUID": CTImageStorage}, "is CT where ultrasound"),
        ({"NumberOfFrames": 0}, "no frame"),
        ({"NumberOfFrames": -2}, "no frame"),
        ({"PixelData": None}, "cut short"),
        ({"PixelRepresentation": 1}, "signed values"),
        ({"PhotometricInterpretation": "CMYK"}, "CMYK"),
        ({"BitsAllocated": 32}, "32 bits"),
        ({"BitsAllocated": 16, "SamplesPerPixel": 3}, "more than 8 bits"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "palette"),
        ({"NumberOfFrames": 9}, "fewer than the 9 frames"),
    ],
)
def test_unfit_files_are_refused(tmp_path, tags, fragment):
    count = tags.pop("NumberOfFrames", 8) if "NumberOfFrames" in tags else 8
    dataset = ultrasound(GRAY, **tags)
    dataset.NumberOfFrames = count
    dataset.save_as(tmp_path / "cine.dcm", enforce_file_format=True)
    assert fragment in refusal(tmp_path / "cine.dcm")


@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("part", [0.3, 0.97])
def test_truncated_files_are_refused(tmp_path, is_compressed, part):
    dataset = jpeg(GRAY) if is_compressed else ultrasound(GRAY)
    path = save(dataset, tmp_path / "cine.dcm")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    assert "cut short" in refusal(path)


def test_a_damaged_frame_is_named(tmp_path):
    dataset = jpeg(GRAY)
    data = bytearray(dataset.PixelData)
    place = data.rindex(b"\xff\xd8")
    data[place : place + 40] = bytes(40)
    dataset.PixelData = bytes(data)
    path = save(dataset, tmp_path / "cine.dcm")
    assert len(list(read_cine(path).frames(0, 7))) == 7
    assert "cannot be decoded" in refusal(path)


def test_a_video_stream_in_dicom_is_refused(tmp_path):
    dataset = jpeg(GRAY)
    dataset.file_meta.TransferSyntaxUID = MPEG4HP41
    assert "video stream" in refusal(save(dataset, tmp_path / "cine.dcm"))


def test_damaged_headers_are_refused_in_words(tmp_path):
    """Bytes of the header changed at random: read, or refused in a sentence, but no other error."""
    rng = np.random.default_rng(0)
    path = tmp_path / "cine.dcm"
    short, refused = GRAY[:2], []
    sources = [ultrasound(short, SequenceOfUltrasoundRegions=[region((0, 0, 90, 90))]), jpeg(in_color(short))]
    for whole in [save(one, path).read_bytes() for one in sources]:
        for _ in range(120):
            data = bytearray(whole)
            for place in rng.integers(132, 1600, 3):
                data[place] = rng.integers(0, 256)
            path.write_bytes(data)
            try:
                list(read_cine(path).frames())
            except InputError as error:
                refused.append(str(error))
    assert 20 < len(refused) < 220
    assert all(text.endswith(".") and "\n" not in text for text in refused)
