"""A system for tests of batches, quick and small: what a case does is up to the patient's age. No Slicer, no Qt."""

from PrognosisLib.systems import Role, System, register

SYSTEM = register(
    System("moody", "Moody", "MoodyPipeline", roles=(Role("ct", "CT", "CT"),), segments=("Bright",), clinical=("age",))
)
