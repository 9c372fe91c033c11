"""The claims of the lessons as code, and what came out over several seeds.

One file per lesson, ``NN_slug.py``: functions that train and measure once,
the arms of each comparison, the claims. ``experiments.claims`` says what a
claim is, ``experiments.runner`` runs it, ``make evidence LESSON=07`` calls
that. Results stand in ``experiments/results``.
"""
