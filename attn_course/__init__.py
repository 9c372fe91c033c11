"""Attention, from one dot product up: the package behind the notebooks.

Each lesson ``notebooks/NN_slug.ipynb`` has one module ``attn_course.slug``.
Nothing is imported here, so that ``import attn_course`` costs nothing: write
``from attn_course import dot_product`` for the module you want.
"""

import logging

__version__ = "0.1.0"

# Where HOME cannot be written, matplotlib warns as soon as it is imported, and
# nbval would find that in the first cell of every lesson. It then keeps its
# fonts in a temporary folder, and all goes on.
logging.getLogger("matplotlib").setLevel(logging.ERROR)
