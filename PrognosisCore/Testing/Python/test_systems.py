"""What a system says about its input images: which must be given, and which one carries the results."""

from __future__ import annotations

from itertools import chain, combinations

import pytest

from PrognosisLib.errors import InputError
from PrognosisLib.systems import SYSTEMS, Role, System, series_option

T2, T1, PET = (Role(name.lower(), f"{name} image", "MR", required=False) for name in ("T2", "T1", "PET"))
CT = Role("ct", "CT", "CT")


def a_system(*roles: Role) -> System:
    return System("some", "Some", "SomePipeline", roles, ("Segment",))


def subsets(system: System) -> list[tuple[str, ...]]:
    names = [role.name for role in system.roles]
    return list(chain.from_iterable(combinations(names, n) for n in range(len(names) + 1)))


def test_the_first_image_given_carries_the_results():
    system = a_system(T2, T1, PET)
    found = {names: system.primary_of(names) for names in subsets(system)}
    assert found == {
        ("t2",): T2,
        ("t1",): T1,
        ("pet",): PET,
        ("t2", "t1"): T2,
        ("t2", "pet"): T2,
        ("t1", "pet"): T1,
        ("t2", "t1", "pet"): T2,
        (): T2,
    }
    assert system.primary_of({"pet": 1, "t1": 2}) == T1


def test_no_other_image_takes_the_place_of_a_required_one():
    assert {a_system(CT, T1).primary_of(names) for names in ((), ("t1",), ("ct",), ("ct", "t1"))} == {CT}
    either = a_system(T1, CT)
    assert either.primary_of(("ct",)) == CT
    assert either.primary_of(("t1", "ct")) == T1


def test_a_required_image_must_be_given():
    for system in (a_system(CT, T1), a_system(T1, CT), SYSTEMS["spleen"], SYSTEMS["ich"]):
        for names in subsets(system):
            if "ct" in names:
                system.check_roles(names)
                continue
            with pytest.raises(InputError, match=r"^The CT is missing; choose a volume for it\.$"):
                system.check_roles(names)


def test_where_none_is_required_one_is_needed():
    for roles, text in (
        ((T2, T1), "a T2 image or a T1 image volume"),
        ((T2, T1, PET), "a T2 image, a T1 image or a PET image volume"),
    ):
        system = a_system(*roles)
        _nothing, *some = subsets(system)
        for names in some:
            system.check_roles(names)
        with pytest.raises(InputError, match=rf"^Choose {text}; one of them is needed\.$"):
            system.check_roles({})


def test_the_only_image_is_needed_in_any_case():
    with pytest.raises(InputError, match=r"^The T2 image is missing; choose a volume for it\.$"):
        a_system(T2).check_roles(())


def test_the_first_role_has_the_plain_series_option():
    system = a_system(T2, T1)
    assert [series_option(system, role) for role in system.roles] == ["--series", "--t1-series"]
