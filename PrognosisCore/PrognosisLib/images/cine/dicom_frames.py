"""The frames of a DICOM file, decoded one at a time and shown as gray values or as red, green and blue."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import InputError
from ..pixels import bare_syntax, decode_gdcm, quiet, why_undecodable
from .cine import to_gray

if TYPE_CHECKING:
    import pydicom

LAST_ITEM = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
# Videos in DICOM are streams, not frames.
STREAMS = "1.2.840.10008.1.2.4.10"
# Kinds of color whose first value is the luma; those of JPEG 2000 are taken back to red, green, blue by its decoders.
LUMA_FIRST = ("YBR_FULL", "YBR_FULL_422")


def frame_count(header: pydicom.Dataset) -> int:
    """NumberOfFrames, which single images lack."""
    number = header.get("NumberOfFrames")
    return 1 if number is None or number == "" else int(number)


class DicomFrames:
    """Frames of one ultrasound DICOM file; only its header and the frame asked for are in memory.

    Uncompressed and compressed; MONOCHROME1 (inverted), MONOCHROME2, RGB of either planar configuration, the YBR
    kinds, whose gray values are the luma as stored, and palettes: those of grays only give gray values. Gray values of
    more than 8 bits are uint16.

    Args:
        path: the file.
        header: its data set without the pixels, with the `offset` at which these begin.

    Raises:
        InputError: compressed in a way that no decoder here knows, cut short, signed values, or a kind of color that
            no ultrasound has.
    """

    def __init__(self, path: Path, header: pydicom.Dataset, offset: int) -> None:
        self.path, self._header, self._offset = path, header, offset
        if "TransferSyntaxUID" not in header.file_meta:
            header.file_meta.TransferSyntaxUID = bare_syntax(header)
            self._in_memory = True
        else:
            self._in_memory = bool(header.file_meta.TransferSyntaxUID.is_deflated)
        self.photometric = str(header.get("PhotometricInterpretation") or "MONOCHROME2")
        self._bits = int(header.get("BitsStored") or header.get("BitsAllocated") or 8)
        self._palette = self._read_palette() if self.photometric == "PALETTE COLOR" else None
        self._refuse()
        samples = int(header.get("SamplesPerPixel") or 1)
        is_color = samples == 3 or (self._palette is not None and self._palette.ndim == 2)
        count = frame_count(header)
        self.shape = (count, int(header.Rows), int(header.Columns), *((3,) if is_color else ()))
        deep = self._bits > 8 and self._palette is None
        self.dtype = np.dtype(np.uint16 if deep else np.uint8)
        self._check_length()

    def iterate(self, indices: range, gray: bool = False) -> Iterator[np.ndarray]:
        """The frames of these numbers, ascending, one after the other."""
        luma = gray and self.photometric in LUMA_FIRST
        decoded = self._decoded(indices, luma)
        for index in indices:
            try:
                with quiet(), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    frame = next(decoded)
                    frame = frame[..., 0].copy() if luma else frame
            except Exception as error:  # plugins raise whatever they like
                frame = self._by_gdcm(index)
                if frame is None:
                    raise InputError(why_undecodable(self.path, self._header)) from error
                decoded = self._decoded(range(index + indices.step, indices.stop, indices.step), luma)
            shown = self._shown(frame)
            yield to_gray(shown) if gray else shown

    def _decoded(self, indices: range, raw: bool) -> Iterator[np.ndarray]:
        """Frames as pydicom gives them: red, green, blue, or `raw` as they are stored."""
        from pydicom.pixels import iter_pixels, pixel_array

        if not len(indices):
            return iter(())
        source = self._whole_dataset() if self._in_memory else self.path
        if self.photometric == "YBR_FULL_422" and not self._header.file_meta.TransferSyntaxUID.is_compressed:
            # pydicom's iteration takes the second frame on for full resolution.
            return (pixel_array(source, index=index, raw=raw) for index in indices)
        chosen = None if indices == range(self.shape[0]) else indices
        return iter_pixels(source, indices=chosen, raw=raw, decoding_plugin=self._plugin())

    def _plugin(self) -> str:
        """Pillow for JPEG baseline, four times as fast as what pydicom would take; else pydicom's choice."""
        from pydicom.pixels import get_decoder
        from pydicom.uid import JPEGBaseline8Bit

        if self._header.file_meta.TransferSyntaxUID != JPEGBaseline8Bit:
            return ""
        return "pillow" if "pillow" in get_decoder(JPEGBaseline8Bit).available_plugins else ""

    def _whole_dataset(self) -> pydicom.Dataset:
        """The data set with its pixels: without a file header or deflated, pydicom decodes it in memory only."""
        import pydicom

        dataset = pydicom.dcmread(self.path, force=True)
        dataset.file_meta.TransferSyntaxUID = self._header.file_meta.TransferSyntaxUID
        return dataset

    def _by_gdcm(self, index: int) -> np.ndarray | None:
        from pydicom.encaps import get_frame

        if not self._header.file_meta.TransferSyntaxUID.is_compressed:
            return None
        try:
            with open(self.path, "rb") as file:
                file.seek(self._offset)
                encoded = get_frame(file, index, number_of_frames=self.shape[0])
        except (ValueError, EOFError):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frames = decode_gdcm(self._header, [encoded])
        return frames[0] if frames else None

    def _shown(self, frame: np.ndarray) -> np.ndarray:
        if self._palette is not None:
            first = self._first_mapped
            return self._palette[np.clip(frame.astype(np.int32) - first, 0, len(self._palette) - 1)]
        if self.photometric == "MONOCHROME1":
            frame = np.asarray((1 << self._bits) - 1, frame.dtype) - frame
        if self.dtype == np.uint8 and frame.dtype != np.uint8:
            return frame.astype(np.uint8)
        return frame.astype(frame.dtype.newbyteorder("="), copy=False)

    def _read_palette(self) -> np.ndarray:
        """Colors of the stored values: uint8 (n, 3), or (n,) where all are grays."""
        from pydicom.pixels import apply_color_lut

        name = self.path.name
        descriptor = self._header.get("RedPaletteColorLookupTableDescriptor")
        try:
            count, self._first_mapped = int(descriptor[0]) or 2**16, int(descriptor[1])
            stored = (np.arange(count) + self._first_mapped).astype(np.uint16 if count > 256 else np.uint8)
            colors = apply_color_lut(stored, self._header)
        except Exception as error:  # whatever a damaged table makes pydicom stumble over
            raise InputError(f"'{name}' has no valid palette of colors; export the cine again.") from error
        if colors.dtype != np.uint8:
            if self._header.original_encoding[1] is False:  # pydicom takes the table for little-endian
                colors = colors.byteswap()
            # Some scanners write 8-bit colors into 16-bit tables.
            colors = (colors >> (8 if colors.max() > 255 else 0)).astype(np.uint8)
        is_gray = np.all(colors[:, 0] == colors[:, 1]) and np.all(colors[:, 0] == colors[:, 2])
        return np.ascontiguousarray(colors[:, 0]) if is_gray else colors

    def _refuse(self) -> None:
        header, name = self._header, self.path.name
        syntax = header.file_meta.TransferSyntaxUID
        if str(syntax).startswith(STREAMS):
            raise InputError(f"'{name}' holds a video stream ({syntax.name}); export it as .mp4 or as frames.")
        known = ("MONOCHROME1", "MONOCHROME2", "RGB", "PALETTE COLOR")
        if self.photometric not in known and not self.photometric.startswith("YBR_"):
            raise InputError(
                f"'{name}' has a kind of color ({self.photometric}) that no ultrasound has; export it again."
            )
        if int(header.get("PixelRepresentation") or 0) == 1 and int(header.get("SamplesPerPixel") or 1) == 1:
            raise InputError(f"'{name}' has signed values, which are no gray values of an ultrasound; export it again.")
        if int(header.get("SamplesPerPixel") or 1) > 1 and int(header.get("BitsAllocated") or 8) != 8:
            raise InputError(f"'{name}' has color of more than 8 bits, which no ultrasound has; export it again.")
        if int(header.get("BitsAllocated") or 0) not in (8, 16):
            raise InputError(f"'{name}' has {header.get('BitsAllocated')} bits per value where 8 or 16 are needed.")

    def _check_length(self) -> None:
        """Whether all frames are in the file, without decoding them."""
        size = self.path.stat().st_size
        count, rows, columns = self.shape[:3]
        shown = InputError(
            f"'{self.path.name}' is damaged or cut short: it holds fewer than the {count} frames that its header says; "
            "copy it again from the archive."
        )
        if self._header.file_meta.TransferSyntaxUID.is_compressed:
            if self._fragments(size) < count:
                raise shown
            return
        if self._header.file_meta.TransferSyntaxUID.is_deflated:
            return
        samples = int(self._header.get("SamplesPerPixel") or 1)
        per_pixel = 2 if self.photometric == "YBR_FULL_422" else samples
        if size - self._offset < count * rows * columns * per_pixel * int(self._header.BitsAllocated) // 8:
            raise shown

    def _fragments(self, size: int) -> int:
        """How many fragments lie whole in the file, without the offset table."""
        found = -1
        with open(self.path, "rb") as file:
            place = self._offset
            while place + 8 <= size:
                file.seek(place)
                item = file.read(8)
                if item == LAST_ITEM or item[:4] != b"\xfe\xff\x00\xe0":
                    break
                place += 8 + int.from_bytes(item[4:], "little")
                found += place <= size
        return found
