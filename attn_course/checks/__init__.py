"""Exercise checks, one module per lesson: ``checks.dot_product.lookup(fn)``.

A check says "not attempted", "right", or which mistake it sees.
"""

import importlib
import pkgutil


def __getattr__(name: str):
    """Import a lesson's checks when they are first asked for."""
    if name in {module.name for module in pkgutil.iter_modules(__path__)}:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
