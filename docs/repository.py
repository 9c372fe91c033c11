"""Where the course is published, if it is: read from the surroundings.

GitHub Actions sets ``GITHUB_REPOSITORY`` to ``owner/name``. Without it there
is no address, and links to Colab, Binder and the repository are left out.
"""

import os
import re

COLAB_BRANCH = "colab"  # notebooks that install the course first


def name() -> str | None:
    """Return ``owner/name``, or None.

    Raises:
        ValueError: if ``GITHUB_REPOSITORY`` is set to something else.
    """
    found = os.environ.get("GITHUB_REPOSITORY", "")
    if not found:
        return None
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", found):
        raise ValueError(
            f"GITHUB_REPOSITORY: expected owner/name, got {found!r}"
        )
    return found


def places(lesson: str) -> dict[str, str]:
    """Return where a lesson can be run without installing anything."""
    owner_name = name()
    if owner_name is None:
        return {}
    return {
        "Open in Colab": "https://colab.research.google.com/github/"
        f"{owner_name}/blob/{COLAB_BRANCH}/{lesson}.ipynb",
        "Open in Binder": f"https://mybinder.org/v2/gh/{owner_name}/main"
        f"?urlpath=lab/tree/notebooks/{lesson}.ipynb",
    }
