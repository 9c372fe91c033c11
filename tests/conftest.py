"""Shapes and types of the whole package are checked while the tests run."""

import importlib
import os
import sys
from pathlib import Path

import hypothesis
import jaxtyping
import pytest

import tests.typechecker  # noqa: F401  the hook names it

# Before anything of the course is imported: every signature is then checked
# by beartype, its shapes by jaxtyping.
jaxtyping.install_import_hook("attn_course", "tests.typechecker.check")

from attn_course import data, session  # noqa: E402
from tests import pretended  # noqa: E402

# No test fails by the clock: a shared machine may be slow for a moment.
hypothesis.settings.register_profile("course", deadline=None)
hypothesis.settings.load_profile("course")


DEVICES = [str(device) for device in session.devices()]
if os.environ.get("ATTN_PRETEND"):  # set by tests/pretended.py
    DEVICES = [pretended.start(os.environ["ATTN_PRETEND"]).type]


@pytest.fixture(params=DEVICES)
def device(request):
    """Each device that is present, one after the other."""
    return request.param


@pytest.fixture(scope="session")
def build_script():
    """Import a script that builds data, by name; that alone builds nothing."""
    folder = str(Path(data.__file__).parent / "build")
    sys.path.insert(0, folder)  # as when it is run: they share a module
    yield importlib.import_module
    sys.path.remove(folder)


@pytest.fixture
def own_errors():
    """Switch the signatures' checks off, to see the course's own errors."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(autouse=True)
def same_random_numbers():
    """Start every test from one seed and the course's plot style."""
    session.start(0)
