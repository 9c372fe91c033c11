"""Attention, from one dot product up: the package behind the notebooks.

Each lesson ``notebooks/NN_slug.ipynb`` has one module ``attn_course.slug``.
Nothing is imported here, so that ``import attn_course`` costs nothing: write
``from attn_course import dot_product`` for the module you want.
"""

__version__ = "0.1.0"
