"""A system for tests: bright voxels on a scan, compared with an optional second scan. No Slicer and no Qt in here."""

from PrognosisLib.systems import Role, System, register

SYSTEM = register(
    System(
        "two",
        "TwoScans",
        "TwoScansPipeline",
        roles=(Role("ct", "CT", "CT"), Role("followup", "Follow-up", "CT", required=False)),
        segments=("Bright", "Growth"),
        clinical=("age",),
        optional_settings=("growth_ml",),
    )
)
