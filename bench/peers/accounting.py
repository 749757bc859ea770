#!/usr/bin/env python3
"""Times the same questions of privacy accounting in sotto and in what of dp-accounting, prv-accountant, autodp and Opacus
is installed, alternating, in one process, one thread each. Prints a table with the ratio to sotto; --out writes JSON.

    python3 bench/peers/accounting.py --rounds 5 --out bench/results/cpu/DATE-accounting-peers.json

sotto answers through sotto.accounting, so its times hold Python's and JSON's share. Nothing is kept between two answers:
each begins with a fresh accountant. README.md beside this file says how to install the peers.
"""
import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):  # before numpy reads them
    os.environ[variable] = "1"

import argparse
import datetime
import importlib.metadata
import json
import logging
import pathlib
import platform
import statistics
import subprocess
import sys
import time
import warnings

warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)
ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python"))

from sotto import accounting as sotto

PLANS = {"σ 1, rate 0.01, 10,000 steps": (1.0, 0.01, 10_000), "σ 1, rate 1e-4, 1,000,000 steps": (1.0, 1e-4, 1_000_000)}
DELTA = 1e-5


def sampled(package, noise, rate, steps):
    return package.SelfComposedDpEvent(package.PoissonSampledDpEvent(rate, package.GaussianDpEvent(noise)), steps)


def sotto_answers(answers):
    def pld(gap):
        return lambda plan: sotto.pld.PLDAccountant(relative_gap=gap).compose(sampled(sotto, *plan)).get_epsilon_bounds(DELTA)

    answers["epsilon"] |= {
        "sotto pld, gap 1e-3": pld(1e-3), "sotto pld, gap 1e-5": pld(1e-5),
        "sotto rdp": lambda plan: (None, sotto.rdp.RdpAccountant().compose(sampled(sotto, *plan)).get_epsilon(DELTA))}
    calibrations(answers, "sotto", sotto, {"pld": sotto.pld.PLDAccountant, "rdp": sotto.rdp.RdpAccountant})


def calibrations(answers, name, package, accountants):
    """Noise for ε = 1 at rate 0.01 and 10,000 steps; steps for ε = 2 at σ = 1 and rate 0.01."""
    for kind, make in accountants.items():
        answers["noise"][f"{name} {kind}"] = lambda _, make=make: (None, package.calibrate_dp_mechanism(
            make, lambda noise: sampled(package, noise, 0.01, 10_000), 1.0, DELTA, package.ExplicitBracketInterval(0.5, 50)))
        answers["steps"][f"{name} {kind}"] = lambda _, make=make: (None, package.calibrate_dp_mechanism(
            make, lambda steps: sampled(package, 1.0, 0.01, steps), 2.0, DELTA, package.ExplicitBracketInterval(1, 10_000), discrete=True))


def dp_accounting_answers(answers):
    import dp_accounting

    def pld(interval):
        return lambda plan: (None, dp_accounting.pld.PLDAccountant(value_discretization_interval=interval)
                             .compose(sampled(dp_accounting, *plan)).get_epsilon(DELTA))

    answers["epsilon"] |= {
        "dp-accounting pld, 1e-4": pld(1e-4), "dp-accounting pld, 1e-5": pld(1e-5),
        "dp-accounting rdp": lambda plan: (None, dp_accounting.rdp.RdpAccountant().compose(sampled(dp_accounting, *plan)).get_epsilon(DELTA))}
    calibrations(answers, "dp-accounting", dp_accounting, {"pld": dp_accounting.pld.PLDAccountant, "rdp": dp_accounting.rdp.RdpAccountant})


def prv_accountant_answers(answers):
    import prv_accountant

    def prv(error):
        def answer(plan):
            noise, rate, steps = plan
            mechanism = prv_accountant.PoissonSubsampledGaussianMechanism(sampling_probability=rate, noise_multiplier=noise)
            accountant = prv_accountant.PRVAccountant(prvs=[mechanism], max_self_compositions=[steps], eps_error=error, delta_error=DELTA / 1000)
            low, _, high = accountant.compute_epsilon(DELTA, [steps])
            return low, high
        return answer

    answers["epsilon"] |= {"prv-accountant, ± 0.1": prv(0.1), "prv-accountant, ± 0.01": prv(0.01)}


def autodp_answers(answers):
    from autodp import rdp_acct, rdp_bank

    def rdp(plan):
        noise, rate, steps = plan
        accountant = rdp_acct.anaRDPacct()
        accountant.compose_poisson_subsampled_mechanisms(lambda order: rdp_bank.RDP_gaussian({"sigma": noise}, order), rate, coeff=steps)
        return None, accountant.get_eps(DELTA)

    answers["epsilon"]["autodp rdp"] = rdp


def opacus_answers(answers):
    from opacus import accountants

    def ask(make, **more):
        def answer(plan):
            accountant = make()
            accountant.history = [plan]
            return None, accountant.get_epsilon(delta=DELTA, **more)
        return answer

    answers["epsilon"] |= {"opacus prv, ± 0.01": ask(accountants.PRVAccountant), "opacus rdp": ask(accountants.RDPAccountant)}


PEERS = {"dp-accounting": dp_accounting_answers, "prv-accountant": prv_accountant_answers, "autodp": autodp_answers, "opacus": opacus_answers}


def measure(answers, plan, rounds):
    rows = {name: {"milliseconds": []} for name in answers}
    for _ in range(rounds):
        for name, answer in answers.items():
            if "failure" in rows[name]:
                continue
            start = time.perf_counter()
            try:
                low, high = answer(plan)
            except Exception as error:  # a peer that breaks is a result
                rows[name]["failure"] = f"{type(error).__name__}: {error}"[:200]
                continue
            rows[name]["milliseconds"].append(1e3 * (time.perf_counter() - start))
            rows[name] |= {"lower": None if low is None else float(low), "answer": float(high)}
    for row in rows.values():
        times = row.pop("milliseconds")
        if times:
            row |= {"milliseconds": statistics.median(times), "least": min(times), "most": max(times)}
    return rows


def show(question, rows):
    print(f"\n{question}\n  {'':28}{'lower':>12}{'answer':>14}{'ms':>12}{'÷ sotto':>10}")
    base = next(row["milliseconds"] for name, row in rows.items() if name.startswith("sotto"))
    for name, row in rows.items():
        if "failure" in row:
            print(f"  {name:28}{row['failure'][:60]}")
            continue
        low = f"{row['lower']:.6g}" if row["lower"] is not None else "–"
        row["ratio"] = row["milliseconds"] / base
        print(f"  {name:28}{low:>12}{row['answer']:14.7g}{row['milliseconds']:12.2f}{row['ratio']:10.2f}")


def versions():
    found = {"python": platform.python_version()}
    for name in [*PEERS, "numpy", "scipy"]:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    return found


def processor():
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=pathlib.Path, help="JSON file to write")
    options = parser.parse_args()
    answers = {"epsilon": {}, "noise": {}, "steps": {}}
    sotto_answers(answers)
    for name, add in PEERS.items():
        try:
            add(answers)
        except ImportError as error:
            print(f"{name} is not installed: {error}")
    result = {"command": " ".join(["python3", "bench/peers/accounting.py", *sys.argv[1:]]),
              "commit": subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip(),
              "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "rounds": options.rounds, "delta": DELTA,
              "machine": {"processor": processor(), "cores": os.cpu_count(), "load_average_before": os.getloadavg()[0]},
              "versions": versions(), "questions": []}
    questions = [(f"ε at δ = 1e-5: {words}", "epsilon", plan) for words, plan in PLANS.items()]
    questions += [("least σ for ε = 1 at δ = 1e-5: rate 0.01, 10,000 steps", "noise", None),
                  ("most steps for ε = 2 at δ = 1e-5: σ 1, rate 0.01", "steps", None)]
    for words, kind, plan in questions:
        rows = measure(answers[kind], plan, options.rounds)
        show(words, rows)
        result["questions"].append({"question": words, "rows": rows})
    result["machine"]["load_average_after"] = os.getloadavg()[0]
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
        print(f"\nwrote {options.out}")


if __name__ == "__main__":
    main()
