#!/usr/bin/env python3
"""A thousand kills, eight processes at once, of a ledger in a file and of one on a real PostgreSQL server.

Usage: ledger_kills_slow_test.py accountants_tests FOLDER [kills]
"""
import glob
import os
import shutil
import subprocess
import sys
import tempfile

from ledger_kill_test import File, kill


class Server:
    """A ledger on a server of its own, read by psql."""

    def __init__(self, program):
        self.process = subprocess.Popen([program, "--ledger-child", "serve"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.location = self.process.stdout.readline().strip()

    def charges(self):
        place, schema = self.location.split("&schema=")
        psql = shutil.which("psql") or sorted(glob.glob("/usr/lib/postgresql/*/bin/psql"))[-1]
        query = f"SELECT run_id, first_step, last_step FROM {schema}.entry WHERE kind = 'charge'"
        lines = subprocess.run([psql, "-X", "-q", "-A", "-t", "-F", "\t", "-d", place, "-c", query],
                               check=True, capture_output=True, text=True).stdout.splitlines()
        return [(run, int(first), int(last)) for run, first, last in (line.split("\t") for line in lines)]

    def stop(self):
        self.process.stdin.close()
        assert self.process.wait() == 0


def main(program, parent, kills=1000):
    os.makedirs(parent, exist_ok=True)
    os.environ["PGUSER"] = "sotto"
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        print("a file:", kill(program, folder, File(folder), kills, 8), flush=True)
        server = Server(program)
        if not server.location:
            print("no server:", server.process.stderr.read().strip())
            return
        try:
            print("a server:", kill(program, folder, server, kills, 8))
        finally:
            server.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
