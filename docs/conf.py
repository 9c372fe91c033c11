"""Sphinx configuration of the published course; docs/build.py starts it."""

import os
import sys
from pathlib import Path

ROOT = Path(os.environ["ATTN_ROOT"])
sys.path.insert(0, str(ROOT))

import attn_course  # noqa: E402
from docs import api, citations  # noqa: E402

project = "Attention, from one dot product up"
author = "The course's authors"
project_copyright = "Code: MIT. Prose and figures: CC BY 4.0"
release = attn_course.__version__
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
]
exclude_patterns = ["downloads"]

# Lessons: executed by `make build`, shown as stored.
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # views are shown as still pictures: no require.js
nb_merge_streams = True
nb_code_prompt_show = "Show the {type}"
nb_code_prompt_hide = "Hide the {type}"
myst_enable_extensions = ["amsmath", "colon_fence", "dollarmath"]
myst_dmath_double_inline = True
myst_heading_anchors = 3

# Mathematics: MathJax from npm, copied beside the pages. SVG needs no font
# file, which a page from the file system might not be allowed to load.
mathjax_path = "mathjax/startup.js"
mathjax4_config = {
    "loader": {
        "load": ["input/tex", "output/svg", "a11y/assistive-mml"],
        "paths": {"mathjax-newcm": "[mathjax]/mathjax-newcm-font"},
    },
    "output": {
        "fontPath": "[mathjax]/%%FONT%%-font",
        "displayOverflow": "linebreak",
    },
}

# API reference
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "show-inheritance": True}
python_maximum_signature_line_length = 72
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Args of the constructor", "params_style")]

bibtex_bibfiles = ["references.bib"]
bibtex_cite_id = "cite-{key}"

html_theme = "pydata_sphinx_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["course.css"]
html_js_files = []
html_show_sourcelink = False
html_copy_source = False
html_domain_indices = False
html_show_sphinx = False
html_context = {"default_mode": "auto"}
# Pages without pages below them need no navigation beside them.
html_sidebars = {
    name: []
    for name in (
        "index",
        "glossary",
        "downloads",
        "references",
        "architecture",
        "contributing",
        "changelog",
    )
}
html_theme_options = {
    "logo": {"text": "Attention"},
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": {"**": ["page-toc"], "index": []},
    "show_nav_level": 1,
    "show_toc_level": 2,
    "collapse_navigation": True,
    "footer_start": ["copyright"],
    "footer_end": [],
    "back_to_top_button": True,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def setup(app):
    api.connect(app)
    citations.connect(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
