"""One B-mode frame: echoes along every line, attenuation and shadows, the beam's blur, log compression.

Baseband model: scatterers fixed in the tissue give complex amplitudes, so that speckle moves with the tissue and
changes as the plane leaves it; borders add coherent echoes that depend on the angle at which they are met; both are
damped on the way and blurred by a pulse and by a beam whose width depends on the depth. Arrays are (lines, samples).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from .medium import Medium
from .probe import ConvexProbe, Pose
from .tissues import ATTENUATION, BACKSCATTER, CODES, DENSITY, UNEVEN

TILE, TILE_MM = 128, 0.4
SPARSE = 0.25  # share of cells with a scatterer where speckle is not fully developed
EVERY = 2  # smooth fields are sampled at every second sample
DB = np.float32(np.log(10) / 20)  # amplitude = exp(DB * dB)
LUNG_FADES_MM = 22.0
HIDDEN_DB = 30.0  # more lost than the time gain compensation gives back, and nothing is seen there


@dataclass(frozen=True)
class LiverState:
    """What the liver's tissue does to the sound.

    Args:
        backscatter: dB over a normal liver.
        attenuation: dB/cm/MHz.
        texture: strength of the coarse texture, 0 none, 1 strong.
        capsule: brightness of the capsule where it is met at a right angle, dB over normal.
        irregular: 0..1, how much the capsule's brightness varies along it.
        walls: brightness of portal vein walls, dB over normal.
        around: backscatter in dB, and around_attenuation in dB/cm/MHz, added to all other tissues by their codes; empty
            where they are as usual.
        even_around: 0..1, how far the other tissues' own pattern is taken away; over a half their speckle is fully
            developed, too.
    """

    backscatter: float = 0.0
    attenuation: float = 0.5
    texture: float = 0.0
    capsule: float = 0.0
    irregular: float = 0.1
    walls: float = 0.0
    around: tuple[float, ...] = ()
    around_attenuation: tuple[float, ...] = ()
    even_around: float = 0.0


@dataclass(frozen=True)
class Machine:
    """Settings of the scanner.

    Args:
        gain: dB added before compression.
        dynamic_range: dB from black to white.
        tgc: dB/cm/MHz that the time gain compensation assumes, both ways counted by the simulator.
        tgc_bend: further gain at the deepest sample, dB, rising with the square of the depth.
        focus_mm, beam_mm, spread: place and width (sigma) of the beam's waist, and how fast it widens away from it.
        pulse_mm: sigma of the pulse along the line.
        noise: electronic noise before amplification, dB over a normal liver at the face.
        reverberation: strength of the repeated echo of the abdominal wall, 0..1.
        gamma: of the gray map.
        persistence: share of the frame 40 ms earlier that is kept.
    looks: views from different angles that are averaged (spatial compounding), which smooths the speckle.
    contact: dB that the first and the last lines lose where the face does not touch the skin well.
    """

    gain: float = 0.0
    dynamic_range: float = 62.0
    tgc: float = 0.5
    tgc_bend: float = 0.0
    focus_mm: float = 80.0
    beam_mm: float = 0.75
    spread: float = 0.016
    pulse_mm: float = 0.36
    noise: float = -72.0
    reverberation: float = 0.25
    gamma: float = 1.0
    persistence: float = 0.3
    looks: int = 2
    contact: tuple[float, float] = (0.0, 0.0)


class PolarFrame(NamedTuple):
    """One frame before scan conversion, each array (lines, samples): amplitude in dB over a normal liver at the face,
    tissue codes, and whether sound gets there at all."""

    decibel: np.ndarray
    tissue: np.ndarray
    seen: np.ndarray


@lru_cache(maxsize=2)
def scatterers(density: float, seed: int = 7) -> np.ndarray:
    """Complex amplitudes (TILE**3,) of unit power; `density` is the share of cells that hold a scatterer."""
    rng = np.random.default_rng([seed, int(1000 * density)])
    tile = rng.standard_normal((TILE**3, 2), dtype=np.float32).view(np.complex64)[:, 0]
    if density < 1:
        tile *= (rng.random(TILE**3, dtype=np.float32) < density) / np.float32(np.sqrt(density))
    return tile / np.float32(np.sqrt(2))


def speckle(points: np.ndarray, sparse: np.ndarray, look: int = 0) -> np.ndarray:
    """Complex scatterer amplitudes at points (..., 3) in mm; where `sparse` is True, fewer and stronger ones.

    Each `look` sees the same places under another angle, that is, with other amplitudes.
    """
    cell = np.floor(points * np.float32(1 / TILE_MM)).astype(np.int32) + 43 * look & (TILE - 1)
    index = (cell[..., 2] * TILE + cell[..., 1]) * TILE + cell[..., 0]
    out = scatterers(1.0)[index]
    out[sparse] = scatterers(SPARSE)[index[sparse]]
    return out


class Beamformer:
    """The blur of a probe with a machine's focus: a pulse along the lines and a beam across them."""

    def __init__(self, probe: ConvexProbe, machine: Machine) -> None:
        self.probe, self.machine = probe, machine

    @cached_property
    def _pulse(self) -> np.ndarray:
        offset = np.arange(self.probe.samples) * self.probe.step_mm
        return _unit_power(offset, np.full(self.probe.samples, self.machine.pulse_mm))

    @cached_property
    def _bands(self) -> list[tuple[slice, np.ndarray]]:
        """Bands of depth with the matrix that blurs across the lines there."""
        probe, machine = self.probe, self.machine
        spread = np.abs(np.diff(probe.angles)).mean()
        out = []
        for part in np.array_split(np.arange(probe.samples), 16):
            depth = probe.depths[part].mean()
            sigma = np.hypot(machine.beam_mm, machine.spread * abs(depth - machine.focus_mm))
            offset = np.arange(probe.lines) * spread * (probe.radius_mm + depth)
            matrix = _unit_power(offset, np.full(probe.lines, sigma))
            out.append((slice(int(part[0]), int(part[-1]) + 1), matrix))
        return out

    @cached_property
    def lost_contact(self) -> np.ndarray:
        """dB that each line loses, (lines, 1)."""
        across = np.linspace(-1, 1, self.probe.lines)[:, None]
        first, last = self.machine.contact
        drop = first / (1 + np.exp((across + 0.72) / 0.07)) + last / (1 + np.exp(-(across - 0.72) / 0.07))
        return drop.astype(np.float32)

    def __call__(self, field: np.ndarray) -> np.ndarray:
        """A blurred complex field (lines, samples) whose mean power is that before."""
        parts = []
        for part in (field.real, field.imag):
            blurred = np.ascontiguousarray(part) @ self._pulse
            parts.append(np.concatenate([matrix @ blurred[:, band] for band, matrix in self._bands], axis=1))
        return parts[0] + 1j * parts[1]


def _unit_power(offset: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """A matrix that blurs by `sigma` and keeps the power of uncorrelated values."""
    distance = offset[:, None] - offset[None, :]
    matrix = np.exp(-0.5 * (distance / sigma[None, :]) ** 2)
    return (matrix / np.sqrt((matrix**2).sum(axis=0, keepdims=True))).astype(np.float32)


def form_frame(
    medium: Medium,
    state: LiverState,
    beamformer: Beamformer,
    pose: Pose,
    motion: np.ndarray,
    rng: np.random.Generator,
) -> PolarFrame:
    """One frame.

    Args:
        motion: (3,) mm by which breathing has moved the anatomy.
        rng: of the electronic noise.
    """
    probe, machine = beamformer.probe, beamformer.machine
    points = probe.points(pose) - motion.astype(np.float32)
    coarse = medium.fields_at(points.reshape(probe.lines, -1, EVERY, 3).mean(axis=2))
    channels = {name: _along(values) for name, values in coarse.items()}
    tissue = resolve_tissue(medium, points, channels)
    absorbed = _with(ATTENUATION, state.around_attenuation)[tissue]
    absorbed = np.where(tissue == CODES["liver"], np.float32(state.attenuation), absorbed)
    loss = np.cumsum(absorbed, axis=1) * np.float32(2 * probe.frequency * probe.step_mm / 10)
    backscatter = _backscatter(tissue, channels, state)
    damped = np.exp(-DB * (loss + beamformer.lost_contact))
    amplitude, borders = np.exp(DB * backscatter) * damped, _interfaces(channels, state, probe) * damped
    sparse = (DENSITY[tissue] < 0.75) & (state.even_around <= 0.5)
    noise_level = np.float32(np.exp(DB * machine.noise) / 2**0.5)
    power = np.float32(0)
    for look in range(machine.looks):
        field = beamformer(speckle(points, sparse, look) * amplitude + borders)
        field = _reverberate(field, channels["layers"], machine)
        noise = rng.standard_normal((2, *field.shape), dtype=np.float32) * noise_level
        power = power + (field.real + noise[0]) ** 2 + (field.imag + noise[1]) ** 2
    usual = machine.tgc * 2 * probe.frequency * probe.depths.astype(np.float32) / 10
    amplify = usual + machine.tgc_bend * (probe.depths / probe.depth_mm) ** 2
    decibel = np.log(np.maximum(power / machine.looks, 1e-18)) / (2 * DB) + amplify
    return PolarFrame(decibel.astype(np.float32), tissue, loss + beamformer.lost_contact - usual < HIDDEN_DB)


def to_gray(decibel: np.ndarray, machine: Machine) -> np.ndarray:
    """Gray values 0..1 of amplitudes in dB: a normal liver at 0 dB of gain lies at about two fifths."""
    share = (decibel + machine.gain) / machine.dynamic_range + 0.46
    return np.clip(share, 0, 1) ** np.float32(machine.gamma)


def _with(table: np.ndarray, more: tuple[float, ...]) -> np.ndarray:
    """A table of tissues with what is added to it."""
    return table + np.asarray(more, np.float32) if more else table


def _along(values: np.ndarray) -> np.ndarray:
    """Values of every second sample at every sample, by linear interpolation."""
    before = np.concatenate([values[:, :1], values[:, :-1]], axis=1)
    after = np.concatenate([values[:, 1:], values[:, -1:]], axis=1)
    out = np.empty((values.shape[0], 2 * values.shape[1]), np.float32)
    out[:, 0::2] = 0.75 * values + 0.25 * before
    out[:, 1::2] = 0.75 * values + 0.25 * after
    return out


def resolve_tissue(medium: Medium, points: np.ndarray, channels: dict[str, np.ndarray]) -> np.ndarray:
    """Tissue codes (lines, samples): nearest voxels, with smooth borders where there is a distance."""
    # points are shifted by less than a voxel at random, so that borders without a distance are rough, not stairs
    shift = speckle(points, np.zeros(points.shape[:-1], bool)).real.clip(-1.5, 1.5) * np.float32(0.9)
    tissue = medium.tissue_at(points + shift[..., None])
    liver, was_liver = channels["liver"] < 0, tissue == CODES["liver"]
    tissue[was_liver & ~liver] = CODES["deep fat"]
    soft = np.isin(tissue, [CODES[name] for name in ("deep fat", "muscle", "fat", "blood")])
    tissue[liver & soft] = CODES["liver"]
    in_liver = channels["liver"] < -1.0
    tissue[(channels["portal"] < 0) & (in_liver | (tissue == CODES["blood"]))] = CODES["blood"]
    tissue[(channels["veins"] < 0) & (in_liver | (tissue == CODES["blood"]))] = CODES["blood"]
    tissue[channels["chest"] < 0] = CODES["lung"]
    tissue[channels["bone"] < 0] = CODES["bone"]
    return tissue


def _backscatter(tissue: np.ndarray, channels: dict[str, np.ndarray], state: LiverState) -> np.ndarray:
    """Backscatter in dB at every sample."""
    out = _with(BACKSCATTER, state.around)[tissue]
    out = out + np.float32(1 - state.even_around) * UNEVEN[tissue] * channels["texture"]
    liver = tissue == CODES["liver"]
    out = np.where(liver, np.float32(state.backscatter) + np.float32(4.5 * state.texture) * channels["texture"], out)
    lung = tissue == CODES["lung"]
    out = np.where(lung, out + np.maximum(channels["chest"], -60) * np.float32(20 / LUNG_FADES_MM), out)
    # fascia: bright sheets along the wall
    wall = (channels["layers"] > 0) & np.isin(tissue, [CODES["fat"], CODES["muscle"]])
    sheets = np.cos(channels["layers"] * np.float32(1.5) + 0.8 * channels["texture"])
    sheets += np.cos(channels["layers"] * np.float32(0.67) + 2)
    return np.where(wall, out + np.float32(5) * np.maximum(sheets, -0.5) ** 3, out)


def _interfaces(channels: dict[str, np.ndarray], state: LiverState, probe: ConvexProbe) -> np.ndarray:
    """Coherent echoes of borders, real amplitudes; bright where the beam meets them at a right angle."""
    vary = np.clip(1 + np.float32(0.9 * state.irregular) * channels["texture"], 0.05, 2.5)
    liver = np.exp(DB * np.float32(13 + state.capsule)) * vary * _echo(channels["liver"], probe, 0.55, 3)
    chest = np.exp(DB * np.float32(25)) * _echo(channels["chest"], probe, 1.0, 2)
    near_liver = channels["liver"] < 3.0
    walls = np.exp(DB * np.float32(14 + state.walls)) * _echo(channels["portal"], probe, 0.6, 1) * near_liver
    veins = np.exp(DB * np.float32(5)) * _echo(channels["veins"], probe, 0.5, 4) * near_liver
    bone = np.exp(DB * np.float32(20)) * _echo(channels["bone"], probe, 0.6, 2)
    serosa = np.exp(DB * np.float32(17)) * _echo(channels["layers"], probe, 0.7, 2)
    return (liver + chest + walls + veins + bone + serosa).astype(np.float32)


def _echo(distance: np.ndarray, probe: ConvexProbe, width: float, power: int) -> np.ndarray:
    """A ridge of `width` (sigma, mm) on a border, weaker the more the beam grazes it."""
    slope = np.empty_like(distance)
    slope[:, 1:-1] = (distance[:, 2:] - distance[:, :-2]) * np.float32(0.5 / probe.step_mm)
    slope[:, 0], slope[:, -1] = slope[:, 1], slope[:, -2]
    return np.minimum(np.abs(slope), 1) ** power * np.exp(-0.5 * (distance * np.float32(1 / width)) ** 2)


def _reverberate(field: np.ndarray, layers: np.ndarray, machine: Machine) -> np.ndarray:
    """The wall's echoes once more, as much deeper as the wall is thick."""
    thick = (layers > 0).sum(axis=1)
    shift = int(np.median(thick))
    if machine.reverberation <= 0 or not 4 < shift < field.shape[1] // 3:
        return field
    again = np.zeros_like(field)
    again[:, shift : 2 * shift] = field[:, :shift]
    return field + np.float32(machine.reverberation * 0.1) * again
