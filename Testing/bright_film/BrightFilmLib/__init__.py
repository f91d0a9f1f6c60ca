"""A system for tests: what is bright in a film, and in an optional later one. No Slicer and no Qt in here."""

from PrognosisLib.systems import Role, System, register

SYSTEM = register(
    System(
        "bright",
        "BrightFilm",
        "BrightPipeline",
        roles=(
            Role("t0", "Cine before", "US", film=True),
            Role("t1", "Cine after", "US", required=False, film=True),
        ),
        segments=("Bright",),
    )
)
