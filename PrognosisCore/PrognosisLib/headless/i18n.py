"""``slicer.i18n`` outside Slicer: no translation files are loaded, so texts come back unchanged."""

from __future__ import annotations

import os

__all__ = ["getContext", "tr", "translate"]


def translate(context: str, text: str) -> str:
    """The text in the application's language, which here is the language it was written in."""
    from slicer import app

    return app.translate(context, text)


def getContext(sourceFile: str) -> str:
    """The translation context of a source file: its name, after its package's name if it is in one."""
    folder, fileName = os.path.split(sourceFile)
    name = fileName.removesuffix(".py")
    isInPackage = os.path.isfile(sourceFile) and os.path.isfile(os.path.join(folder, "__init__.py"))
    return f"{os.path.basename(folder)}.{name}" if isInPackage else name


def tr(text: str) -> str:
    """Translates a text of the calling file.

    :raises TypeError: if the text is not a str; Slicer would fail in Qt.
    """
    if not isinstance(text, str):
        raise TypeError(f"tr() takes a str, not {type(text).__name__}.")
    return text
