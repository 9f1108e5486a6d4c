"""The plugin for QGIS: connections to ArcGIS portals, their sign-ins and their content, in a panel.

Only ``answers.py`` can be used without QGIS.
"""

import os
import sys


def classFactory(iface):  # noqa: N802 (QGIS calls it so)
    """The plugin, for QGIS."""
    # The zip holds the package, which scripts in QGIS then import as well.
    packages = os.path.join(os.path.dirname(os.path.abspath(__file__)), "packages")
    if os.path.isdir(packages) and packages not in sys.path and "age_oauth" not in sys.modules:
        sys.path.insert(0, packages)
    try:
        from .plugin import Plugin
    except ImportError as error:
        return _Unusable(iface, error)
    return Plugin(iface)


class _Unusable:
    """In place of the plugin, where QGIS has loaded another version of the package before."""

    def __init__(self, iface, error):
        self._iface, self._error = iface, error

    def initGui(self):  # noqa: N802
        """Says what is wrong."""
        from qgis.core import Qgis

        from .translation import install, tr

        install()
        place = getattr(sys.modules.get("age_oauth"), "__file__", None) or "?"
        text = tr("Another version of the Python package age_oauth is in use: {}. Remove it or upgrade it, then start QGIS again.")
        text = f"{text.format(place)} ({self._error})".replace("<", "\u2039")
        self._iface.messageBar().pushMessage("age-oauth", text, Qgis.MessageLevel.Warning, 0)

    def unload(self):
        """Takes the translation away."""
        from .translation import remove

        remove()
