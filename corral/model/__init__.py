"""Nouns: frozen types, phases and their transitions. Imports nothing of ours but errors.

Importing this package imports every file in it, so that each kind is known (resource.KINDS).
"""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
