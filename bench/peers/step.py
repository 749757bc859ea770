#!/usr/bin/env python3
"""Times one training step of the same two models in plain PyTorch, in Opacus (per-sample gradients by hooks, and ghost
clipping) and in sotto, alternating, on one machine in one session. Prints a table; --out writes JSON.

    python3 bench/peers/step.py --sotto build/release/bin/sotto --rounds 25 --threads 2 --out bench/results/cpu/DATE-peers.json

Needs torch 2.11.0 and opacus 1.6.0 (README.md beside this file). Run it on a machine that does nothing else.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
import warnings

warnings.filterwarnings("ignore")

import opacus
import torch
from opacus import GradSampleModule
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
from torch import nn
from torch.nn import functional

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLIP_NORM, NOISE_MULTIPLIER, RATE, MOMENTUM = 1.0, 1.0, 0.01, 0.9  # as in engine/step_bench.cpp
WARM_UP = 3


class Block(nn.Module):
    def __init__(self, width, heads, feed_forward):
        super().__init__()
        self.heads = heads
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.projection = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, feed_forward), nn.Linear(feed_forward, width)

    def forward(self, x):
        batch, length, width = x.shape
        parts = self.query_key_value(self.attention_norm(x)).view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        x = x + self.projection(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(torch.relu(self.up(self.feed_norm(x))))


class Transformer(nn.Module):
    """engine/models/transformer.cpp in Python."""

    def __init__(self, vocabulary=1000, length=128, width=128, heads=4, feed_forward=512, blocks=2, outputs=2):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks = nn.ModuleList(Block(width, heads, feed_forward) for _ in range(blocks))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, outputs)

    def forward(self, tokens):
        places = torch.arange(tokens.shape[1]).expand(tokens.shape).contiguous()  # Opacus' ghost norms view() the ids
        x = self.tokens(tokens) + self.positions(places)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))


def make(name):
    """Model, inputs and labels as engine/step_bench.cpp has them."""
    torch.manual_seed(1)
    if name == "mlp":
        model = nn.Sequential(nn.Linear(120, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 2))
        return model, torch.randn(1024, 120), torch.randint(2, (1024,))
    return Transformer(), torch.randint(1000, (32, 128)), torch.randint(2, (32,))


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)


def plain_step(name):
    model, inputs, labels = make(name)
    optimizer = sgd(model)

    def step():
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()

    return step, sum(parameter.numel() for parameter in model.parameters())


def hooks_step(name):
    model, inputs, labels = make(name)
    model = GradSampleModule(model)
    optimizer = DPOptimizer(sgd(model), noise_multiplier=NOISE_MULTIPLIER, max_grad_norm=CLIP_NORM,
                            expected_batch_size=len(labels))

    def step():
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()

    return step, None


def ghost_step(name):
    model, inputs, labels = make(name)
    model = GradSampleModuleFastGradientClipping(model, max_grad_norm=CLIP_NORM, use_ghost_clipping=True)
    optimizer = DPOptimizerFastGradientClipping(sgd(model), noise_multiplier=NOISE_MULTIPLIER, max_grad_norm=CLIP_NORM,
                                                expected_batch_size=len(labels))
    criterion = DPLossFastGradientClipping(model, optimizer, nn.CrossEntropyLoss())

    def step():
        optimizer.zero_grad()
        criterion(model(inputs), labels).backward()
        optimizer.step()

    return step, None


def milliseconds(step):
    start = time.perf_counter()
    step()
    return 1e3 * (time.perf_counter() - start)


def sotto_rounds(program, name, rounds, threads):
    command = [program, "bench", "step", "--model", name, "--rounds", str(rounds), "--threads", str(threads), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"step.py: {' '.join(map(str, command))} failed: {done.stderr}")
    return json.loads(done.stdout)


def spread(values):
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return {"median": middle, "low": low, "high": high}


def bench(name, options):
    """Blocks of rounds in which the Python steps alternate, and a run of sotto after each block."""
    makers = {"torch": plain_step, "opacus hooks": hooks_step, "opacus ghost": ghost_step}
    made = {who: maker(name) for who, maker in makers.items()}
    steps = {who: step for who, (step, _) in made.items()}
    parameters = made["torch"][1]
    for _ in range(WARM_UP):
        for step in steps.values():
            step()
    times, runs = {who: [] for who in steps}, []
    blocks = min(options.blocks, options.rounds)
    for block in range(blocks):
        rounds = options.rounds * (block + 1) // blocks - options.rounds * block // blocks
        for _ in range(rounds):
            for who, step in steps.items():
                times[who].append(milliseconds(step))
        runs.append(sotto_rounds(options.sotto, name, rounds, options.threads))
        if runs[-1]["parameters"] != parameters:
            sys.exit(f"step.py: sotto's {name} has {runs[-1]['parameters']} parameters, this one {parameters}")
    rows = {who: {"milliseconds": spread(values),
                  "ratio": spread([value / plain for value, plain in zip(values, times["torch"])])}
            for who, values in times.items()}
    rows["sotto plain"] = {"milliseconds": spread([run["plain_ms"] for run in runs]), "ratio": spread([1.0 for _ in runs])}
    rows["sotto"] = {"milliseconds": spread([run["private_ms"] for run in runs]), "ratio": spread([run["ratio"] for run in runs])}
    return {"model": name, "parameters": parameters, "rounds": options.rounds, "steps": rows, "sotto_runs": runs}


def machine():
    def line_of(path, key):
        return next((line.split(":", 1)[1].strip() for line in pathlib.Path(path).read_text().splitlines()
                     if line.startswith(key)), "")

    return {"processor": line_of("/proc/cpuinfo", "model name"), "processors": os.cpu_count(),
            "memory": line_of("/proc/meminfo", "MemTotal"), "system": platform.platform(),
            "load_average": os.getloadavg()[0]}


def show(result):
    print(f"\n{result['model']}, {result['parameters']} parameters, {result['rounds']} rounds")
    print(f"  {'':14}{'ms':>9}{'quartiles':>20}{'÷ plain':>10}")
    for who, row in result["steps"].items():
        ms = row["milliseconds"]
        print(f"  {who:14}{ms['median']:9.2f}{ms['low']:11.2f} –{ms['high']:7.2f}{row['ratio']['median']:10.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sotto", type=pathlib.Path, default=ROOT / "build/release/bin/sotto")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--blocks", type=int, default=5, help="how often sotto's turn comes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--model", choices=["mlp", "transformer"], action="append")
    parser.add_argument("--out", type=pathlib.Path, help="JSON file to write")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    result = {"command": " ".join(["python3", "bench/peers/step.py", *sys.argv[1:]]),
              "commit": subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip(),
              "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
              "threads": options.threads, "machine": machine(),
              "versions": {"python": platform.python_version(), "torch": torch.__version__, "opacus": opacus.__version__},
              "models": []}
    for name in options.model or ["mlp", "transformer"]:
        result["models"].append(bench(name, options))
        show(result["models"][-1])
    result["machine"]["load_average_after"] = os.getloadavg()[0]
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n")
        print(f"\nwrote {options.out}")


if __name__ == "__main__":
    main()
