"""The `prognosis` command. One path: file, scene, the module's own Logic, nodes, files.

Exit codes: 0 done; 2 bad input, one line says what and how to mend it; 3 some cases failed.
"""

from __future__ import annotations

import argparse
import inspect
import math
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .batch.command import add_batch
from .bundles.command import BUNDLE_HELP, BUNDLE_METAVAR, add_bundle, chosen_bundle
from .errors import Cancelled, InputError, WorkerError
from .systems import SYSTEMS, Role, System, import_installed, series_option

DONE, BAD_INPUT, SOME_FAILED = 0, 2, 3
CINES = "ultrasound DICOM, video, .seq.nrrd, image, or folder of images"
YES_NO = {"yes": True, "true": True, "no": False, "false": False}


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every other error here does."""

    def error(self, message: str) -> None:
        raise InputError(f"{message}; see: {self.prog} --help")


def make_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="prognosis", description="Research and teaching, not for clinical use.")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser, metavar="COMMAND")
    for system in SYSTEMS.values():
        _add_run(commands, system)
    add_batch(commands, _Parser, _add_settings)
    add_bundle(commands, _Parser)
    for name, text in (
        ("simulate", "write simulated patients: images, truth masks, clinical values, outcomes, cohort.csv"),
        ("train", "train a system's networks and risk models into a model bundle"),
        ("evaluate", "compare masks and predictions with the truth of a cohort, in a report"),
    ):
        one = commands.add_parser(name, help=text, description=text)
        one.add_argument("system", choices=sorted(SYSTEMS))
        one.add_argument("--output", type=Path, required=True, metavar="DIR")
        one.set_defaults(run=_workbench)
        if name == "simulate":
            one.add_argument("--cases", type=int, default=1, metavar="N")
            one.add_argument("--seed", type=int, default=0, metavar="S")
        else:
            one.add_argument("--cohort", type=Path, metavar="CSV")
        if name == "train":
            _add_training(one)
            text = "fit the risk models alone to this table of a batch, without images"
            one.add_argument("--from-results", type=Path, default=argparse.SUPPRESS, metavar="CSV", help=text)
            text = "with --from-results: take everything else from this model bundle"
            one.add_argument("--bundle", type=Path, default=argparse.SUPPRESS, metavar=BUNDLE_METAVAR, help=text)
        if name == "evaluate":
            text = "judge this table of a batch, without images"
            one.add_argument("--results", type=Path, metavar="CSV", help=text)
            one.add_argument("--bundle", type=Path, metavar=BUNDLE_METAVAR, help=BUNDLE_HELP)
    return parser


def _add_run(commands: argparse._SubParsersAction, system: System) -> None:
    one = commands.add_parser(system.name, help=f"run {system.module} on one patient")
    for role in system.roles:
        kind, text = ("CINE", CINES) if role.film else ("IMAGE", "image file or DICOM folder")
        one.add_argument(f"--{role.name}", type=Path, required=role.required, metavar=kind, help=text)
    one.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the results")
    one.add_argument("--clinical", type=Path, metavar="JSON", help="clinical values")
    one.add_argument("--segmentation", type=Path, metavar="FILE", help="measure this corrected segmentation instead")
    for role in _roles_with_segment(system):
        text = f"with --segmentation: that of --{role.name}, {role.segment}"
        one.add_argument(f"--{role.name}-segmentation", type=Path, metavar="FILE", help=text)
    one.add_argument("--bundle", type=Path, metavar=BUNDLE_METAVAR, help=BUNDLE_HELP)
    for role in _volume_roles(system):
        text = f"which series of a DICOM folder for --{role.name}"
        one.add_argument(series_option(system, role), dest=f"series_{role.name}", metavar="UID", help=text)
    _add_settings(one, system)
    one.set_defaults(run=_run_system)


def _volume_roles(system: System) -> list[Role]:
    return [role for role in system.roles if not role.film]


def _roles_with_segment(system: System) -> list[Role]:
    return [role for role in system.roles if role.segment]


def _add_settings(one: argparse.ArgumentParser, system: System) -> None:
    group = one.add_argument_group("settings")
    for name, value in system.library("pipeline").default_settings().items():
        read, kind = _setting(value, value is None or name in system.optional_settings)
        group.add_argument(
            f"--{name.replace('_', '-').lower()}",
            dest=f"setting_{name}",
            type=read,
            default=argparse.SUPPRESS,  # None is a value that can be given
            metavar="VALUE",
            help=kind.replace("%", "%%"),
        )


def _setting(default: Any, may_be_none: bool) -> tuple[Callable[[str], Any], str]:
    """What reads a setting's text as the type of its default, and in words what it takes."""
    kind = float if default is None else type(default)
    what = {bool: "yes or no", int: "a whole number", float: "a number"}.get(kind, "a word")
    what += ', or "none"' if may_be_none else ""

    def read(text: str) -> Any:
        word = text.strip().lower()
        if may_be_none and word == "none":
            return None
        try:
            value = YES_NO[word] if kind is bool else kind(text)
        except (KeyError, ValueError):
            value = math.nan
        if isinstance(value, float) and not math.isfinite(value):
            raise argparse.ArgumentTypeError(f"'{text}' is not {what}")
        return value

    return read, what


def _add_training(one: argparse.ArgumentParser) -> None:
    """Options that are left out are not handed on, so that the defaults are those of the system's own `train`."""
    for option, kind, metavar, text in (
        ("--steps", int, "N", "training steps of each network"),
        ("--simulated", int, "N", "simulated patients added to the cohort"),
        ("--seed", int, "S", "of sampling, augmentation and simulation"),
        ("--validation", str, "PATIENTS", "patients kept out of training, with commas"),
        ("--patience", int, "N", "stop early after N measurements without a lower loss on the patients kept out"),
        ("--threads", int, "N", "CPU threads"),
        ("--risk-patients", int, "N", "simulated patients that teach the risk models"),
    ):
        text += " (default: the system's own)"
        one.add_argument(option, type=kind, default=argparse.SUPPRESS, metavar=metavar, help=text)


def _run_system(arguments: argparse.Namespace) -> int:
    from .single_case import run_case

    system = SYSTEMS[arguments.command]
    given = vars(arguments)
    settings = {key.removeprefix("setting_"): value for key, value in given.items() if key.startswith("setting_")}
    images = {role.name: given[role.name] for role in system.roles if given[role.name]}
    try:
        system.check_roles(images)
    except InputError as error:
        options = " or ".join(f"--{role.name}" for role in system.roles)
        raise InputError(f"{str(error).removesuffix('.')} ({options}).") from error
    written = run_case(
        system,
        images,
        arguments.output,
        clinical_file=arguments.clinical,
        segmentation_file=arguments.segmentation,
        other_segmentations={
            role.name: given[f"{role.name}_segmentation"]
            for role in _roles_with_segment(system)
            if given[f"{role.name}_segmentation"]
        },
        settings=settings,
        bundle=chosen_bundle(arguments.bundle, system),
        series={role.name: given[f"series_{role.name}"] for role in _volume_roles(system)},
        on_progress=_show_progress,
    )
    _clear_progress()
    for path in written:
        print(path)
    return DONE


def _own(system: System) -> Any:
    """The system's `workbench.py`."""
    if find_spec(f"{system.module}Lib.workbench") is None:
        raise InputError(
            f"{system.module} has no simulation, training or evaluation of its own; choose another system."
        )
    return system.library("workbench")


def _workbench(arguments: argparse.Namespace) -> int:
    """simulate, train and evaluate."""
    system = SYSTEMS[arguments.system]
    options = {k: v for k, v in vars(arguments).items() if k not in ("command", "run", "system")}
    work = {"simulate": _simulate, "train": _train, "evaluate": _evaluate}[arguments.command]
    for path in work(system, **options):
        print(path)
    return DONE


def _simulate(system: System, **options: Any) -> list[Path]:
    return _own(system).simulate(**options)


def _train(system: System, **options: Any) -> list[Path]:
    """On images by the system's own `train`; on a table of results by the one of all systems."""
    if "from_results" not in options:
        if "bundle" in options:
            raise InputError("--bundle is for --from-results; leave it out.")
        train = _own(system).train
        strange = sorted(set(options) - set(inspect.signature(train).parameters))
        if strange:
            raise InputError(f"{system.module}'s training takes no --{strange[0].replace('_', '-')}; leave it out.")
        return train(**options)
    from .validation.refit_bundle import refit_bundle

    results, base = options.pop("from_results"), chosen_bundle(options.pop("bundle", None), system)
    strange = sorted(set(options) - {"output", "cohort", "validation", "seed"})
    if strange:
        raise InputError(f"--{strange[0].replace('_', '-')} is for training on images; leave it out.")
    return refit_bundle(system, results, base=base, command=["prognosis", *sys.argv[1:]], **options)


def _evaluate(
    system: System, results: Path | None, cohort: Path | None, bundle: Path | None, **options: Any
) -> list[Path]:
    """On images by the system's own `evaluate`; on a table of results by the one of all systems."""
    options["bundle"] = chosen_bundle(bundle, system)
    if results is not None:
        from .validation.from_results import evaluate_results

        return evaluate_results(system, results, cohort=cohort, **options)
    if cohort is None:
        raise InputError("Name the cases: --cohort for images, or --results for the table of a batch.")
    return _own(system).evaluate(cohort=cohort, **options)


def _show_progress(fraction: float, message: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{100 * fraction:3.0f} % {message}", end="", file=sys.stderr, flush=True)


def _clear_progress() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code and prints errors as one line on standard error."""
    for problem in import_installed():
        print(f"prognosis: {problem}", file=sys.stderr)
    try:
        parsed = make_parser().parse_args(arguments)
        return parsed.run(parsed)
    except (InputError, WorkerError) as error:
        _clear_progress()
        print(f"prognosis: {error}", file=sys.stderr)
        return BAD_INPUT if isinstance(error, InputError) else SOME_FAILED
    except (Cancelled, KeyboardInterrupt):
        _clear_progress()
        print("prognosis: cancelled; nothing was written.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
