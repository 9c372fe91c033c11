"""What a teacher needs: assignments, grading, slides, guide, cheat sheet."""
