"""The import of the graph's engine: `monai`, whose SDK the graph is built on, without what is not used of it."""

import getpass
import os
import pkgutil

from groundglass.command.late_modules import loaded_late
from groundglass.command.startup import modules_replaced

_UNUSED = ("matplotlib", "cupy", "ignite")
"""What `monai` loads where it is there, for plots in notebooks, for arrays of a kind that the graph doesn't have, and
for training: `ignite` alone brings in PyTorch's distributed optimisers and sympy, a quarter of the start."""
_LATE = ("tritonclient.grpc", "tritonclient.http")
"""What the SDK loads to ask networks of another machine, which no run does."""


def import_engine() -> None:
    """Import `monai` before the graph does, and give the process what it needs for that.

    `import monai` loads each of its modules, transforms and whole applications among them: a third of the start-up, and
    some 1200 modules that no run uses. The SDK's core imports by name what it needs. What relies on the order of the
    full import, as transforms and networks do, can't be imported in this process any more.
    """
    _name_user()

    walk_packages = pkgutil.walk_packages
    pkgutil.walk_packages = lambda *_, **__: iter(())
    try:
        with modules_replaced(dict.fromkeys(_UNUSED)):
            import monai.utils.module
    finally:
        pkgutil.walk_packages = walk_packages
    monai.utils.module.walk_packages = walk_packages
    with loaded_late(_LATE):
        import monai.deploy.core


def _name_user() -> None:
    """Give the user a name where the system has none for the uid, as in containers: MONAI's import fails without."""
    try:
        getpass.getuser()
    except (KeyError, OSError):  # the second since Python 3.13
        os.environ["LOGNAME"] = f"uid-{os.getuid()}"
