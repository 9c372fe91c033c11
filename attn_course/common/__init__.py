"""What several lessons need and none teaches.

Nothing here knows a lesson: lessons import from here, never the reverse.
"""
