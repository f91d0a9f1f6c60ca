"""The report of findings on two films: both beside each other, each with its own outlines and heat map."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from cine_cases import film, sector_mask

from PrognosisLib.findings import Findings, HeatMap, Mask
from PrognosisLib.images.cine.cine import ArrayFrames, Cine, steady_times
from PrognosisLib.reporting.cine_view import CineView
from PrognosisLib.reporting.film_images import pair_images
from PrognosisLib.reporting.report import first_picture, write_report
from PrognosisLib.volume import Grid


def a_film(count: int, name: str) -> Cine:
    frames = film(count, text=False)
    return Cine(ArrayFrames(frames), steady_times(count, 0.04), (0.5, 0.5), name=name, burned_in=False)


FIRST, SECOND = a_film(3, "first"), a_film(1, "second")
TITLES = {"": "Before", "t1": "After"}


def findings() -> Findings:
    """A mask in the second frame of the first film, one in the second film, and three heat maps."""
    masks, maps = [], []
    for cine, number, role, names in ((FIRST, 1, "", ("Risk", "Change")), (SECOND, 0, "t1", ("Risk later",))):
        inside = np.zeros(cine.grid.shape, bool)
        inside[number, 40:60, 50:80] = True
        masks.append(Mask.from_full(f"Liver{role}", inside & sector_mask(), cine.grid, role=role))
        for name in names:
            values = np.zeros(cine.grid.shape, np.uint8)
            values[number, 45:55] = 220
            maps.append(HeatMap(name, values, Grid(values.shape, cine.ijk_to_ras), role))
    return Findings("pair", tuple(masks), heat_maps=tuple(maps))


def captions(second: Cine = SECOND) -> list[str]:
    sides = [("Before", "", FIRST), ("After", "t1", second)]
    return [picture.caption for picture in pair_images(findings(), sides, CineView.of(FIRST))]


def test_both_films_are_beside_each_other_and_further_maps_follow():
    found = captions()
    assert found[:2] == ["Before and After, with outlines.", "Before and After, with what drove the score."]
    assert found[2].startswith("Change over the same frames")
    assert len(found) == 3


def test_a_film_that_may_not_be_shown_is_left_out():
    """Nothing in it looks like an ultrasound image."""
    black = replace(SECOND, source=ArrayFrames(np.zeros((1, 96, 128), np.uint8)))
    assert captions(black)[0] == "Before, with outlines."


def test_the_page_and_its_first_picture(tmp_path):
    how = {"titles": TITLES, "others": {"t1": SECOND}}
    html = write_report(tmp_path, findings(), FIRST, {}, {}, **how).read_text("utf-8")
    assert "Before and After, with outlines." in html
    alone = write_report(tmp_path, findings().on(), FIRST, {}, {}, **how).read_text("utf-8")
    assert "Frames of the cine in the order of time" in alone
    assert "Livert1" not in first_picture(findings(), FIRST).caption
