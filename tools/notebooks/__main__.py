"""The command line: ``python -m tools.notebooks build|mark|check``."""

import argparse
import sys
import time

from tools.notebooks.building import BuildError, build, mark
from tools.notebooks.reading import lessons
from tools.notebooks.rules import check


def main(arguments: list[str] | None = None) -> int:
    """Run ``build``, ``mark`` or ``check``; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.notebooks")
    commands = parser.add_subparsers(dest="command", required=True)
    builder = commands.add_parser("build", help="execute changed lessons")
    builder.add_argument(
        "lesson", nargs="*", help="NN or NN_slug; all if none"
    )
    builder.add_argument("--force", action="store_true", help="unchanged too")
    commands.add_parser("mark", help="text, tags and slides; execute nothing")
    commands.add_parser("check", help="compare sources, notebooks, modules")
    options = parser.parse_args(arguments)
    if options.command == "check":
        problems = check()
        print("\n".join(problems) or f"{len(lessons())} lessons: all agree")
        return 1 if problems else 0
    try:
        if options.command == "mark":
            return _mark_all()
        return _build_all(options.lesson, options.force)
    except (BuildError, ValueError) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; no notebook was changed", file=sys.stderr)
        return 130


def _mark_all() -> int:
    code = 0
    for name in lessons():
        try:
            print(f"{name}: {'written' if mark(name) else 'unchanged'}")
        except BuildError as error:
            print(error, file=sys.stderr)
            code = 1
    return code


def _build_all(wanted: list[str], force: bool) -> int:
    names = lessons()
    for prefix in wanted:
        if not any(name.startswith(prefix) for name in names):
            raise ValueError(
                f"lesson: expected one of {names}, got {prefix!r}"
            )
    live = sys.stdout.isatty()

    def say(text: str) -> None:
        if live:
            print(f"\r\033[K{text}", end="", flush=True)

    for name in names:
        if wanted and not any(name.startswith(prefix) for prefix in wanted):
            continue
        start = time.perf_counter()
        built = build(name, force=force, say=say)
        took = time.perf_counter() - start
        say("")
        print(f"{name}: {f'built in {took:.0f} s' if built else 'unchanged'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
