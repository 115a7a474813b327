"""Kill the mission's sweep at random moments, repeat the command, and compare what comes out with an undisturbed sweep.

    python benchmarks/kills.py n=1000              # goes on where it was stopped
    python benchmarks/kills.py n=1000 task=stand-in

Each of n chains starts `find_lr.py -m seed=1,2,3 finder.smooth_f=0.05,0.15` in an empty folder, sends one signal at a
moment drawn evenly from the time that an undisturbed sweep takes, waits until every process of the command is gone, and
gives the same command again until it ends with 0. The signals: SIGKILL to the whole group, to the command alone, to one
of its descendants; SIGTERM, SIGINT and SIGHUP to the command. The model is a small MLP with 40 iterations, so that a
chain takes seconds; task=stand-in has a stand-in for the training, which needs no torch. Signals and moments follow
from the number of a chain alone.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROGRAMS = {
    "real": ROOT / "src" / "find_lr.py",
    "stand-in": ROOT / "tests" / "jobs" / "sweep_process.py",
}
SWEEP = ("-m", "seed=1,2,3", "finder.smooth_f=0.05,0.15", "sweep_name=x")
TINY = ("model=mlp", "finder=quick", "finder.num_iter=40", "device.threads=1", "device.workers=2")
KINDS = (
    "KILL of the group",
    "KILL of the command",
    "KILL of a descendant",
    "TERM",
    "INT",
    "HUP",
)
MOST_REPEATS = 3
PATIENCE = 600.0
CHANGES = ("created", "inputs", "checksum")
"""What differs in two summaries of equal sweeps: when, where, and the sum over both."""


def main() -> None:
    """Run what is missing of n chains, and print the table."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # else a command under nohup would never hear it
    options = dict(text.split("=", 1) for text in sys.argv[1:])
    count, task = int(options.pop("n", 1000)), options.pop("task", "real")
    if options or task not in PROGRAMS:
        sys.exit(f"n=NUMBER and task={'|'.join(PROGRAMS)} can be given; got {' '.join(sys.argv[1:])}")
    results = ROOT / "outputs" / "kills" / f"{task}.jsonl"
    results.parent.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line) for line in results.read_text().splitlines()] if results.is_file() else []
    missing = sorted(set(range(count)) - {chain["number"] for chain in done})
    if missing:
        expected, seconds = _undisturbed(PROGRAMS[task])
        for number in missing:
            chain = _chain(number, PROGRAMS[task], expected, seconds)
            done.append(chain)
            with open(results, "a", encoding="utf-8") as file:
                file.write(f"{json.dumps(chain)}\n")
            print(
                f"{len(done)} of {count}: {chain['kind']} after {chain['after']:.1f} s, {chain['end']}",
                flush=True,
            )
    _print_table([chain for chain in done if chain["number"] < count])
    sys.exit(any(chain["end"] != "as undisturbed" for chain in done))


def _command(program: Path, folder: Path) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PLAIN": "1",
        "TRAINED": str(folder / "trained.txt"),
    }
    return subprocess.Popen(
        [sys.executable, str(program), *SWEEP, *TINY],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=open(folder / "stderr.txt", "ab"),
        start_new_session=True,
    )


def _undisturbed(program: Path) -> tuple[dict[str, Any], float]:
    """What the sweep leaves when nobody disturbs it, and the seconds that it takes."""
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        begin = time.perf_counter()
        code = _command(program, Path(name)).wait(PATIENCE)
        seconds = time.perf_counter() - begin
        if code != 0:
            sys.exit((Path(name) / "stderr.txt").read_text())
        return _left(Path(name)), seconds


def _chain(number: int, program: Path, expected: dict[str, Any], seconds: float) -> dict[str, Any]:
    """One kill, and the same command until it ends well."""
    rng = random.Random(number)
    kind, after = KINDS[number % len(KINDS)], rng.uniform(0, seconds)
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    process = _command(program, folder)
    time.sleep(after)
    alive = process.poll() is None
    if alive:
        _kill(process.pid, kind, rng)
    first = process.wait(PATIENCE)
    gone = _all_gone(process.pid)
    codes: list[int] = []
    while (not codes or codes[-1] != 0) and len(codes) < MOST_REPEATS:
        codes.append(_command(program, folder).wait(PATIENCE))
    same = codes[-1] == 0 and _left(folder) == expected
    end = "as undisturbed" if same and gone else "other processes stayed" if same else "DIFFERENT"
    if end == "as undisturbed":
        shutil.rmtree(folder, ignore_errors=True)
    else:
        end += f" ({folder})"
    return {
        "number": number,
        "kind": kind,
        "after": after,
        "alive": alive,
        "first": first,
        "codes": codes,
        "end": end,
    }


def _kill(pid: int, kind: str, rng: random.Random) -> None:
    try:
        if kind == "KILL of the group":
            os.killpg(pid, signal.SIGKILL)
        elif kind == "KILL of a descendant":
            below = [child for child in _session(pid) if child != pid]
            os.kill(rng.choice(below) if below else pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL if kind == "KILL of the command" else getattr(signal, f"SIG{kind}"))
    except ProcessLookupError:  # it ended meanwhile
        pass


def _session(pid: int) -> list[int]:
    """The processes, zombies aside, of the session that a command has begun."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except OSError:
                continue
            if int(session) == pid and state != "Z":
                found.append(int(entry.name))
    return sorted(found)


def _all_gone(pid: int) -> bool:
    """Whether every process of a command ends by itself, once the command has ended."""
    end = time.monotonic() + PATIENCE / 10
    while _session(pid):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _left(folder: Path) -> dict[str, Any]:
    """What a sweep says, and how each of its jobs ended."""
    sweep = folder / "outputs" / "sweeps" / "x"
    summary = json.loads((sweep / "summary.json").read_text())
    summary["digests"].pop("report.html", None)  # it tells when each run was made
    statuses = Counter(json.loads(file.read_text())["status"] for file in sweep.glob("*/status.json"))
    return {
        "summary": {name: value for name, value in summary.items() if name not in CHANGES},
        "statuses": dict(statuses),
        "answer": (sweep / "answer.txt").read_text(),
    }


def _print_table(chains: list[dict[str, Any]]) -> None:
    print(f"{'signal':22s} {'chains':>7s} {'met it running':>15s} {'repeats':>8s} {'as undisturbed':>15s}")
    for kind in (*KINDS, "all"):
        own = [chain for chain in chains if kind in (chain["kind"], "all")]
        repeats = sum(len(chain["codes"]) for chain in own) / max(1, len(own))
        same = sum(chain["end"] == "as undisturbed" for chain in own)
        met = sum(chain["alive"] for chain in own)
        print(f"{kind:22s} {len(own):7d} {met:15d} {repeats:8.2f} {same:15d}")


if __name__ == "__main__":
    main()
