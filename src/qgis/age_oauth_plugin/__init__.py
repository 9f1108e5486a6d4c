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
    from .plugin import Plugin

    return Plugin(iface)
