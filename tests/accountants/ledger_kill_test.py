#!/usr/bin/env python3
"""Kills processes that charge one ledger, at random moments; then every charge that was confirmed must be there, once,
and none that nobody asked for.

Usage: ledger_kill_test.py accountants_tests FOLDER [rounds] [processes]    (1000 rounds before a release)
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


def confirmed(text):
    """The steps on whole lines: a line that the kill cut short was never a receipt."""
    return [int(line) for line in text.split("\n")[:-1] if re.fullmatch(r"\d+", line)]


def main(program, parent, rounds=60, processes=2):
    rng = random.Random(5)
    os.makedirs(parent, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        ledger = os.path.join(folder, "ledger.sqlite")
        receipts, killed, runs, run = [], 0, 0, ""
        expected = {}
        for number in range(rounds):
            if number % 8 == 0:  # a run ends after 881 steps
                run, runs = f"run{runs}", runs + 1
                subprocess.run([program, "--ledger-child", "reserve", ledger, run], check=True)
                expected[run] = set()
            batch = [subprocess.Popen([program, "--ledger-child", "charge", ledger, run, "1000000"],
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
                     for _ in range(processes)]
            time.sleep(rng.uniform(0.004, 0.03))
            for child in batch:
                child.send_signal(signal.SIGKILL)
            for child in batch:
                out, _ = child.communicate()
                killed += child.returncode == -signal.SIGKILL
                for step in confirmed(out):
                    assert step not in expected[run], f"step {step} of {run} was confirmed twice"
                    expected[run].add(step)
                    receipts.append((run, step))
        done = subprocess.run([program, "--ledger-child", "verify", ledger], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        with sqlite3.connect(ledger) as database:
            rows = database.execute("SELECT run_id, first_step, last_step FROM entry WHERE kind = 'charge'").fetchall()
        charged = {}
        for name, first, last in rows:
            for step in range(first, last + 1):
                assert step not in charged.setdefault(name, set()), f"step {step} of {name} is charged twice"
                charged[name].add(step)
        lost = [(name, step) for name, step in receipts if step not in charged.get(name, ())]
        extra = sum(len(steps - expected[name]) for name, steps in charged.items())
        assert not lost, f"lost: {lost[:5]}"
        assert extra <= killed, f"{extra} charges that nobody confirmed, after {killed} kills"
        assert killed >= rounds, f"only {killed} kills"
        print(f"{rounds} rounds, {processes} processes, {killed} kills: {len(receipts)} confirmed charges, 0 lost, "
              f"0 doubled, {extra} unconfirmed")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
