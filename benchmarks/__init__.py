"""Ratios of the course's attention to torch's, measured in one run."""
