"""scripts/bench asks the program for models and options that it has. Nothing is built here."""
import importlib.machinery
import importlib.util
import pathlib
import re
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
LOADER = importlib.machinery.SourceFileLoader("bench", str(SOURCE / "scripts/bench"))
bench = importlib.util.module_from_spec(importlib.util.spec_from_loader("bench", LOADER))
sys.dont_write_bytecode = True
LOADER.exec_module(bench)


class BenchTest(unittest.TestCase):
    def test_EveryStepIsOfAModelAndByOptionsThatTheProgramHas(self):
        models = re.findall(r'\{"(\w+)", "', (SOURCE / "engine/step_bench/bench_task.cpp").read_text())
        sources = [(SOURCE / "app" / name).read_text() for name in ("bench.cpp", "command.h")]
        options = re.findall(r'"--([\w-]+)"', "".join(sources))
        self.assertIn("gpt2", models)
        self.assertIn("batch", options)
        for device, steps in bench.STEPS.items():
            for name, asked in steps.items():
                self.assertIn(asked.get("model", name), models, device)
                self.assertLessEqual(set(asked), set(options), name)

    def test_AGpuIsAskedForTheModelsThatItIsJudgedBy(self):
        self.assertLessEqual({"gpt2", "gpt2_1024", "bert", "vit", "resnet50", "llama", "llama_lora"}, set(bench.STEPS["cuda"]))
        for name in ("gpt2", "bert", "vit", "resnet50", "llama", "llama_lora"):
            self.assertGreater(bench.STEPS["cuda"][name]["batch"], 1, "a batch of one shows nothing")
            narrow = bench.STEPS["cuda"][name + " in bfloat16"]
            self.assertEqual(narrow, {"model": name, "precision": "bfloat16", **bench.STEPS["cuda"][name]})

    def test_AStepsResultIsWhatTheProgramPrints(self):
        with tempfile.TemporaryDirectory() as folder:
            program = pathlib.Path(folder, "sotto")
            program.write_text('#!/bin/sh\nprintf \'{"asked": "%s"}\' "$*"\n')
            program.chmod(0o755)
            made = bench.run_step(program, "gpt2 by one stream", {"model": "gpt2", "streams": 1}, "cuda", 3)
            self.assertEqual(made["asked"], "bench step --device cuda --rounds 3 --json --model gpt2 --streams 1")
            program.write_text("#!/bin/sh\nexit 1\n")
            with self.assertRaisesRegex(SystemExit, "failed"):
                bench.run_step(program, "mlp", {}, "cpu", 1)


if __name__ == "__main__":
    unittest.main()
