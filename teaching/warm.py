"""What every worker needs, loaded once before the workers are forked."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot  # noqa: E402, F401
import numpy  # noqa: E402, F401
import torch  # noqa: E402, F401

from attn_course import plotting, session, training  # noqa: E402, F401
from teaching import worker  # noqa: E402, F401
