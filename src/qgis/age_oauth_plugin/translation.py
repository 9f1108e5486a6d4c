"""The plugin's texts in QGIS's language: English, if there is no translation. See ``src/qgis/texts``."""

from __future__ import annotations

import os

from qgis.core import QgsApplication
from qgis.PyQt.QtCore import QCoreApplication, QLocale, QTranslator

_CONTEXT = "AgeOAuth"
_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "i18n")

_installed: "QTranslator | None" = None


def install() -> None:
    """Takes the translation for QGIS's language, if there is one."""
    global _installed
    remove()
    translator = QTranslator()
    # Of `de_AT`, also the one for `de`.
    if translator.load(QLocale(QgsApplication.locale()), "age_oauth", "_", _FOLDER):
        QCoreApplication.installTranslator(translator)
        _installed = translator


def remove() -> None:
    """Takes it away again."""
    global _installed
    if _installed is not None:
        QCoreApplication.removeTranslator(_installed)
        _installed = None


def tr(text: str) -> str:
    """The text in QGIS's language."""
    return QCoreApplication.translate(_CONTEXT, text)
