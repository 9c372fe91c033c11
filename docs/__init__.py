"""The published course: `make site` builds it, `make site-pdf` prints it."""
