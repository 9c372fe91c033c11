"""Answers that people really give, and the hint that each must get."""
