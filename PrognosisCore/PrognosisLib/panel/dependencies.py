"""First use: which Python packages are missing, one question, then their installation. Nothing is installed unasked."""

from __future__ import annotations

import subprocess
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import slicer
from slicer.i18n import tr as _

from ..errors import InputError

# Beside the library in the source tree and in an installed extension.
RESOURCES = Path(__file__).resolve().parents[2] / "Resources"
REQUIREMENTS = RESOURCES / "requirements.txt"


def missingPackages(path: Path = REQUIREMENTS) -> list[str]:
    """The lines of a requirements file that the installed packages do not meet."""
    from packaging.requirements import Requirement

    lines = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not _isMet(Requirement(line))]


def _isMet(requirement) -> bool:
    try:
        return requirement.specifier.contains(metadata.version(requirement.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False


def ensurePackages(requester: str) -> None:
    """Installs what is missing after one question.

    Raises:
        InputError: the user declined; the message says what still works.
    """
    missing = missingPackages()
    if not missing:
        return
    names = ", ".join(missing)
    declined = _(
        "Not installed: {names}. Segmenting needs them, so press Apply again to be asked once more; "
        "measuring works without: choose a segmentation under Inputs."
    ).format(names=names)
    try:
        from slicer import packaging
    except ImportError:
        packaging = None
    try:
        if hasattr(packaging, "pip_ensure"):
            packaging.pip_ensure(missing, requester=requester)
        else:
            question = _("{module} needs these Python packages: {names}.\n\nDownload and install them into Slicer now?")
            if not slicer.util.confirmYesNoDisplay(question.format(module=requester, names=names)):
                raise InputError(declined)
            slicer.util.pip_install(" ".join(missing))
    except RuntimeError as error:  # pip_ensure's way to say that the user declined
        raise InputError(declined) from error
    except subprocess.CalledProcessError as error:
        raise InputError(
            _(
                "{names} could not be installed: check the network connection and the log, and press Apply again."
            ).format(names=names)
        ) from error


def ensureTorch() -> None:
    """Installs torch through the PyTorch extension, which asks first; only for a run on a GPU.

    Raises:
        InputError: the extension is missing or the user declined.
    """
    if find_spec("torch") is not None:
        return
    try:
        from PyTorchUtils import PyTorchUtilsLogic
    except ImportError:
        raise InputError(
            _("A GPU needs torch: install the PyTorch extension in the Extensions Manager, or set Device to CPU.")
        ) from None
    if PyTorchUtilsLogic().installTorch(askConfirmation=True) is None:
        raise InputError(_("torch was not installed, so no GPU can be used; set Device to Automatic or CPU."))
