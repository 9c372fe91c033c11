"""``python -m attn_course.speech_attention FILE.wav ...``: transcribe files."""

import sys

from attn_course.speech_attention.command import main

if __name__ == "__main__":
    # A file's name may hold what the terminal cannot show.
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)  # as shells count it
