#!/usr/bin/env python3
"""Test AUC of the readmission model over five seeds at epsilon 1, 3 and 8, with everything else as
examples/medai/readmission.toml has it, written to bench/results/medai/.
usage: bench/medai/auc.py [--split test|validation] [SOTTO]

The settings were chosen on training patients only (five-fold cross-validation, then the validation split of hashed fifths:
--split validation), frozen, and then run here on all of them."""
import argparse
import datetime
import json
import pathlib
import statistics
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SEEDS = range(5)
FLOORS = {1: 0.640, 3: 0.647, 8: 0.649}
VALIDATION = ["data.train_split=train_without_validation", "data.test_split=validation", "privacy.public_size=44594"]


def test_auc(sotto, epsilon, seed, split):
    with tempfile.TemporaryDirectory() as scratch:
        settings = [f"privacy.epsilon={epsilon}", f"run.seed={seed}", f"run.dir={scratch}/run", f"ledger.path={scratch}/ledger",
                    "run.evaluate_every=1000000"] + (VALIDATION if split == "validation" else [])
        command = [sotto, "train", str(ROOT / "examples/medai/readmission.toml"), "--json"]
        for setting in settings:
            command += ["--set", setting]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)["test_auc"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sotto", nargs="?", default=str(ROOT / "build/release/bin/sotto"))
    parser.add_argument("--split", choices=["test", "validation"], default="test")
    options = parser.parse_args()
    rows = []
    for epsilon in FLOORS:
        scores = [test_auc(options.sotto, epsilon, seed, options.split) for seed in SEEDS]
        rows.append({"epsilon": epsilon, "delta": 1e-5, "mean_auc": statistics.mean(scores), "auc_by_seed": scores})
        if options.split == "test":
            rows[-1]["asked"] = FLOORS[epsilon]
        print(f"epsilon {epsilon}: mean AUC {rows[-1]['mean_auc']:.4f}  ({', '.join(f'{s:.4f}' for s in scores)})", flush=True)
    out = ROOT / "bench/results/medai" / f"{datetime.date.today()}-{options.split}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"command": f"bench/medai/auc.py --split {options.split}", "split": options.split, "rows": rows}, indent=2) + "\n")
    print(f"wrote {out.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
