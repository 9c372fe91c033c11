"""``python -m attn_course.speech_attention FILE.wav ...``: transcribe files."""

import sys

from attn_course.speech_attention.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
