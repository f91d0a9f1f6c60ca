"""`prognosis bundle`: the user's own model bundles, verified, imported, listed and removed from the command line.

They are those that the panels offer under "About the model"; `--bundle` takes one by its name.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import BundleError
from ..systems import SYSTEMS, System, find_system

DONE = 0
BUNDLE_METAVAR = "BUNDLE"
BUNDLE_HELP = "an own model bundle: its folder, or the name of an imported one"


def add_bundle(commands: argparse._SubParsersAction, parser_class: type[argparse.ArgumentParser]) -> None:
    """Adds the command with its actions."""
    text = "verify, import, list or remove model bundles of your own"
    bundle = commands.add_parser("bundle", help=text, description=text)
    actions = bundle.add_subparsers(dest="action", required=True, parser_class=parser_class, metavar="ACTION")
    verify = actions.add_parser("verify", help="check a bundle as a run does, and import nothing")
    verify.add_argument("path", type=Path, metavar="PATH", help="folder or .zip archive")
    verify.set_defaults(run=_verify)
    import_ = actions.add_parser("import", help="keep a copy for panels and command line")
    import_.add_argument("system", choices=sorted(SYSTEMS), metavar="SYSTEM")
    import_.add_argument("path", type=Path, metavar="PATH", help="folder or .zip archive")
    import_.set_defaults(run=_import)
    list_ = actions.add_parser("list", help="name the imported ones")
    list_.add_argument("system", choices=sorted(SYSTEMS), nargs="?", metavar="SYSTEM")
    list_.set_defaults(run=_list)
    remove = actions.add_parser("remove", help="delete an imported one")
    remove.add_argument("system", choices=sorted(SYSTEMS), metavar="SYSTEM")
    remove.add_argument("name", metavar="NAME", help="as 'prognosis bundle list' names it")
    remove.set_defaults(run=_remove)


def chosen_bundle(given: Path | None, system: System) -> Path | None:
    """The folder that `--bundle` means; None where it was left out.

    Raises:
        BundleError: there is no such folder, and no imported bundle of that name for the system.
    """
    from .store import find_bundle, own_bundles_folder

    return None if given is None else find_bundle(given, system.name, own_bundles_folder())


def _verify(arguments: argparse.Namespace) -> int:
    from .bundle import Bundle, read_metadata
    from .store import verify_bundle

    def load(folder: Path) -> Bundle:
        return find_system(read_metadata(folder)[0]["system"]).load_bundle(folder)

    found = verify_bundle(arguments.path, load)
    facts = found.metadata
    taught = "at least partly on a simulated cohort" if found.is_simulated else "on no simulated cohort"
    print(
        f"The bundle '{facts['name']} {facts['version']}' for '{facts['system']}' is sound: all {len(facts['files'])} "
        f"files are as they were written, and none can run code; trained {taught}."
    )
    return DONE


def _import(arguments: argparse.Namespace) -> int:
    from .store import import_bundle, list_bundles, own_bundles_folder

    root = own_bundles_folder()
    before = {one.path for one in list_bundles(root)}
    found = import_bundle(arguments.path, root, SYSTEMS[arguments.system].load_bundle)
    done = "was imported already" if found.path in before else "is imported"
    print(
        f"The bundle {done} as '{found.path.name}'; use it with --bundle {found.path.name}, or choose it in the panel."
    )
    return DONE


def _list(arguments: argparse.Namespace) -> int:
    from .store import list_bundles, own_bundles_folder

    found = list_bundles(own_bundles_folder(), arguments.system or "")
    for one in found:
        print(f"{one.path.name}: {one.problem or f'{one.name} {one.version}, for {one.system}'}")
    if not found:
        whom = f" for '{arguments.system}'" if arguments.system else ""
        print(f"No bundle is imported{whom}; import one with: prognosis bundle import SYSTEM PATH")
    return DONE


def _remove(arguments: argparse.Namespace) -> int:
    from .store import list_bundles, own_bundles_folder, remove_bundle

    root = own_bundles_folder()
    imported = {one.path.name: one.path for one in list_bundles(root, arguments.system)}
    if arguments.name not in imported:
        raise BundleError(
            f"No bundle '{arguments.name}' is imported for '{arguments.system}'; see: prognosis bundle list"
        )
    remove_bundle(imported[arguments.name], root)
    print(f"The imported bundle '{arguments.name}' is removed.")
    return DONE
