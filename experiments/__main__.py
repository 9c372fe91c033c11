"""``python -m experiments [LESSON ...]``: run what is missing, write tables."""

import argparse

from experiments import runner


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments")
    parser.add_argument("lessons", nargs="*", help="02 or its name; else all")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--again",
        action="store_true",
        help="sentences and verdicts only, from the kept intervals",
    )
    options = parser.parse_args()
    known = runner.names()
    for lesson in options.lessons:
        if not any(name.startswith(lesson) for name in known):
            parser.error(f"lesson {lesson}: expected one of {known}")
    for name in known:
        if options.lessons and not name.startswith(tuple(options.lessons)):
            continue
        if options.again:
            table = runner.again(name)
        else:
            table = runner.evidence(name, options.workers)
        for row in table["claims"]:
            print(
                f"{row['id']} {row['verdict']}: {row['estimate']:.4g} "
                f"[{row['low']:.4g}, {row['high']:.4g}] {row['sentence']}"
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
