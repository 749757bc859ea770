"""Compiles a file and holds the compiler's errors to the file's "// expect: REGEX" comments, each about the line above.

usage: check_errors.py FILE COMPILER FLAGS...
A file without such comments must compile. Errors that no comment expects fail the test too.
"""
import os
import re
import subprocess
import sys


def main():
    path, command = sys.argv[1], sys.argv[2:]
    with open(path) as file:
        lines = file.read().split("\n")
    expected = {n: re.search(r"// expect: (.*)", line).group(1) for n, line in enumerate(lines) if "// expect: " in line}
    done = subprocess.run(command + [path], capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
    wrong, found = [], set()
    for name, line, message in re.findall(r"^([^\s:]+):(\d+):\d+: (?:fatal )?error: (.*)$", done.stderr, re.M):
        if name == path and int(line) in expected and re.search(expected[int(line)], message):
            found.add(int(line))
        else:
            wrong.append(f"{name}:{line} failed for another reason: {message}")
    wrong += [f"{path}:{line} compiles, or gave no error: {what}" for line, what in expected.items() if line not in found]
    if (done.returncode != 0) != bool(expected):
        wrong.append(f"the compiler ended with {done.returncode}:\n{done.stderr[:2000]}")
    print("\n".join(wrong) if wrong else f"{len(expected)} errors, each where it belongs")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
