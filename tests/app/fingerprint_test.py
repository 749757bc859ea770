"""The arithmetic of a fixed run is the committed one: a change that moves it says so by a new fingerprint.json.
usage: fingerprint_test.py SOTTO SCRATCH"""
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
CONFIG = HERE.parent.parent / "examples/medai/readmission.toml"
SKIPPED = 77

found = json.loads(subprocess.run([sys.argv[1], "train", str(CONFIG), "--fingerprint", "--json"], check=True,
                                  stdout=subprocess.PIPE).stdout)
committed = json.loads((HERE / "fingerprint.json").read_text())
if found["instruction_set"] not in committed:
    print(f"skipped: no fingerprint is committed for {found['instruction_set']}; this machine gives {found['fingerprint']}")
    sys.exit(SKIPPED)
if found["fingerprint"] != committed[found["instruction_set"]]:
    sys.exit(f"the fingerprint is {found['fingerprint']}, but {committed[found['instruction_set']]} is committed: the "
             "arithmetic changed. If it was meant to, commit the new value and say so.")
print(f"{found['instruction_set']}: {found['fingerprint']}")
