"""SpleenVolume's networks from a CT file to a mask file in a fresh process. Usage: spleen_file_to_file.py CT MASK"""

from __future__ import annotations

import sys
from pathlib import Path

from PrognosisLib.images.readers import read_volume
from PrognosisLib.images.writers import write_volume
from PrognosisLib.pipeline import Case
from PrognosisLib.systems import SYSTEMS

source, target = Path(sys.argv[1]), Path(sys.argv[2])
volume = read_volume(source)
system = SYSTEMS["spleen"]
found = system.make_pipeline().segment(Case({"ct": volume}, settings={"device": "cpu"}))
spleen = found.mask("Spleen")
if spleen is None:
    sys.exit("the benchmark's spleen was not found")
write_volume(volume.with_array(spleen.full()), target)
