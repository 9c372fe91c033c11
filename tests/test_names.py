"""One public name, one thing: no two modules define a function or class alike."""

import ast
from collections import defaultdict

from tools.notebooks import PACKAGE

# Data sets are loaded alike on purpose, and a check bears its exercise's name.
ALIKE = ("data", "checks")
# Written with their modules only: plotting.show a figure, evidence.show claims.
WITH_MODULE = {"show": ["evidence", "plotting"]}


def definitions():
    """Return the modules that define each public function or class."""
    places = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[0] in ALIKE:
            continue
        for node in ast.parse(path.read_text("utf-8")).body:
            name = getattr(node, "name", "_")
            known = places[name] if not name.startswith("_") else []
            if ".".join(parts) not in known:  # once, with its overloads
                known.append(".".join(parts))
    return places


def test_each_public_name_is_defined_once():
    places = definitions()
    assert "scaled_dot_product" in places["scaled_dot_product_attention"]
    twice = {n: where for n, where in places.items() if len(where) > 1}
    assert twice == WITH_MODULE
