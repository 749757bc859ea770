#!/usr/bin/env python3
"""Kills processes that charge one ledger, at random moments; then every charge that was confirmed must be there, once,
and none that nobody asked for.

Usage: ledger_kill_test.py accountants_tests FOLDER [kills] [processes]
"""
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time


class File:
    """A ledger in a file, read behind the program's back."""

    def __init__(self, folder):
        self.location = os.path.join(folder, "ledger.sqlite")

    def charges(self):
        with sqlite3.connect(self.location) as database:
            return database.execute("SELECT run_id, first_step, last_step FROM entry WHERE kind = 'charge'").fetchall()


def confirmed(text):
    """The steps on whole lines: a line that the kill cut short was never a receipt."""
    return [int(line) for line in text.split("\n")[:-1] if re.fullmatch(r"\d+", line)]


def wait_for_receipts(outputs, count):
    end = time.monotonic() + 120
    while sum(os.fstat(out.fileno()).st_size for out in outputs) < 2 * count:  # a digit and the end of its line, at least
        assert time.monotonic() < end, "nobody charges"
        time.sleep(0.002)


def kill(program, folder, ledger, kills, processes):
    """Returns a line that says what was found."""
    rng = random.Random(5)
    receipts, killed, rounds, run = [], 0, 0, ""
    expected = {}
    while killed < kills:
        if rounds % 4 == 0:  # a run ends after 881 steps
            run = f"run{rounds // 4}"
            subprocess.run([program, "--ledger-child", "reserve", ledger.location, run], check=True)
            expected[run] = set()
        outputs = [tempfile.TemporaryFile("w+", dir=folder) for _ in range(processes)]
        batch = [subprocess.Popen([program, "--ledger-child", "charge", ledger.location, run, "1000000"],
                                  stdout=out, stderr=subprocess.DEVNULL) for out in outputs]
        if rounds % 2:  # in the midst of charges; otherwise perhaps before the first
            wait_for_receipts(outputs, rng.randint(1, 16))
        time.sleep(rng.uniform(0.0, 0.03))
        for child in batch:
            child.send_signal(signal.SIGKILL)
        for child, out in zip(batch, outputs):
            killed += child.wait() == -signal.SIGKILL
            out.seek(0)
            for step in confirmed(out.read()):
                assert step not in expected[run], f"step {step} of {run} was confirmed twice"
                expected[run].add(step)
                receipts.append((run, step))
            out.close()
        rounds += 1
    done = subprocess.run([program, "--ledger-child", "verify", ledger.location], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    charged = {}
    for name, first, last in ledger.charges():
        for step in range(first, last + 1):
            assert step not in charged.setdefault(name, set()), f"step {step} of {name} is charged twice"
            charged[name].add(step)
    lost = [(name, step) for name, step in receipts if step not in charged.get(name, ())]
    extra = sum(len(steps - expected[name]) for name, steps in charged.items())
    assert not lost, f"lost: {lost[:5]}"
    assert extra <= killed, f"{extra} charges that nobody confirmed, after {killed} kills"
    assert len(receipts) >= rounds // 2, f"only {len(receipts)} charges in {rounds} rounds"
    return (f"{rounds} rounds, {processes} processes, {killed} kills: {len(receipts)} confirmed charges, 0 lost, "
            f"0 doubled, {extra} unconfirmed")


def main(program, parent, kills=120, processes=2):
    os.makedirs(parent, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        print(kill(program, folder, File(folder), kills, processes))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
