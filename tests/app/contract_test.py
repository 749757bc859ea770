"""The part of the program that other programs read: JSON objects, the certificate, files, exit codes.

Usage: contract_test.py SOTTO FOLDER
"""
import csv, itertools, math, os, pty, select, subprocess, zipfile

import harness
from harness import Place

NUMBER, WHOLE, TEXT = (int, float), int, str
COMMANDS = [["train"], ["account", "epsilon"], ["account", "delta"], ["account", "noise"],
            ["account", "steps"], ["account", "batch"], ["account", "curve"], ["account", "compare"], ["account", "table"],
            *(["ledger", verb] for verb in ("show", "verify", "cap", "key", "init", "member", "head", "grant", "budget", "explain",
                                            "history", "export", "backup", "restore")), ["eval"], ["predict"], ["export"], ["report"], ["doctor"], ["norms"],
            ["plan"], ["bench", "step"], ["bench", "kernels"]]


class ContractTest(harness.Case):
    @classmethod
    def setUpClass(cls):
        """One finished run that most tests look at: no seed, no step of it is repeatable."""
        cls.trained = Place(harness.FOLDER / "trained", {"run.seed": None})
        cls.train_done = cls.trained.train()

    def setUp(self):
        super().setUp()
        self.assertExit(self.train_done, 0)

    def answer(self, *words, place=None, code=0):
        """The JSON object of a sub-command; json.loads refuses a second one, or any other text beside it."""
        done = self.assertExit((place or self.trained).call(*words, "--json"), code)
        self.assertIsInstance(done.json(), dict)
        return done.json()

    def assertFields(self, found, expected):
        for name, kind in expected.items():
            self.assertIn(name, found)
            self.assertIsInstance(found[name], kind, name)
            if kind in (NUMBER, WHOLE):
                self.assertNotIsInstance(found[name], bool, name)
                self.assertTrue(math.isfinite(found[name]), name)

    def epsilon(self, noise, rate, steps, delta, *more):
        return self.answer("account", "epsilon", "--noise-multiplier", repr(noise), "--sample-rate", rate, "--steps", steps,
                           "--delta", delta, *more)["epsilon"]

    def test_Train(self):
        found = self.train_done.json()
        self.assertFields(found, {"run": TEXT, "run_id": TEXT, "steps": WHOLE, "epsilon": NUMBER, "delta": NUMBER,
                                  "private": bool, "certificate": TEXT, "report": TEXT, "status": TEXT, "test_auc": NUMBER})
        self.assertEqual((found["status"], found["run"], found["steps"]), ("completed", "run", 5))
        for name in ("certificate", "report"):
            self.assertTrue((self.trained.path / found[name]).exists())
        self.assertEqual(found["epsilon"], self.trained.certificate()["epsilon"])

    def test_RunFolder(self):
        for name in ("model.safetensors", "model.toml", "certificate.json", "report.html", "report.json", "config.toml",
                     "metrics.jsonl", "ledger.json", "evaluation.json", "checkpoint.safetensors", "run.json"):
            self.assertGreater((self.trained.run / name).stat().st_size, 0, name)
        page = (self.trained.run / "report.html").read_text()
        self.assertIn("<html", page)

    def test_Certificate(self):
        found = self.trained.certificate()
        self.assertFields(found, {
            "format_version": WHOLE, "epsilon": NUMBER, "epsilon_planned": NUMBER, "delta": NUMBER, "not_covered": list,
            "noise_arithmetic": TEXT, "accountant": TEXT, "neighbouring_relation": TEXT, "unit_of_privacy": TEXT,
            "sampling": TEXT, "noise_multiplier": NUMBER, "clip_norm": NUMBER, "sample_rate": NUMBER, "steps": WHOLE,
            "private": bool, "unsafe": list, "metrics": dict, "dataset": dict, "ledger_row": dict})
        self.assertFields(found["metrics"], {"test_auc": NUMBER})
        self.assertFields(found["dataset"], {"name": TEXT, "identity": TEXT, "public": bool})
        self.assertFields(found["ledger_row"], {"id": WHOLE, "head_hash": TEXT})
        self.assertEqual({name: found[name] for name in ("format_version", "accountant", "neighbouring_relation",
                                                         "unit_of_privacy", "sampling", "clip_norm", "sample_rate", "steps")},
                         {"format_version": 1, "accountant": "pld", "neighbouring_relation": "add_remove",
                          "unit_of_privacy": "patient_nbr", "sampling": "poisson", "clip_norm": 1.0, "sample_rate": 0.05,
                          "steps": 5})
        self.assertLessEqual({"test_metrics", "hyperparameter_search", "floating_point_attacks"}, set(found["not_covered"]))
        self.assertEqual((found["epsilon_planned"], found["delta"]), (3.0, 1e-5))
        self.assertLessEqual(found["epsilon"], found["epsilon_planned"])
        # A ten-thousandth of delta pays for the tails that the noise generator cannot reach.
        exact = self.answer("account", "epsilon", "--noise-multiplier", repr(found["noise_multiplier"]), "--sample-rate", 0.05,
                            "--steps", 5, "--delta", repr(1e-5 * (1 - 1e-4)), "--accountant", "pld", "--gap", 1e-5)
        self.assertGreaterEqual(found["epsilon"], exact["epsilon_lower"])
        self.assertLessEqual(found["epsilon"], exact["epsilon"] * (1 + 1e-3))  # the gap that a run's brackets aim at

    def test_SeedIsUnsafeAndNoSeedIsNot(self):
        self.assertEqual((self.trained.certificate()["private"], self.trained.certificate()["unsafe"]), (True, []))
        place = self.place(run__seed=3)
        self.assertFalse(self.assertExit(place.train(), 0, "run.seed").json()["private"])
        self.assertEqual((place.certificate()["private"], place.certificate()["unsafe"]), (False, ["fixed_seed"]))

    def test_PhiloxIsUnsafeAndRefusedUnlessMeant(self):
        place = self.place(run__seed=None, privacy__generator="philox")
        self.assertIn("privacy.unsafe_generator = true", self.assertExit(place.train(), 2, "philox").err)
        self.assertFalse(place.run.exists() and (place.run / "certificate.json").exists())
        place = self.place("meant", run__seed=None, privacy__generator="philox", privacy__unsafe_generator=True)
        self.assertFalse(self.assertExit(place.train(), 0, "philox").json()["private"])
        found = place.certificate()
        self.assertEqual((found["private"], found["unsafe"]), (False, ["unsafe_generator"]))
        self.assertIn("Philox", found["noise_arithmetic"])
        self.assertIn("ChaCha20", self.trained.certificate()["noise_arithmetic"])
        self.assertIn("The noise can be predicted", (place.run / "report.html").read_text())

    def test_SeedFixesEverythingAndNothingElseDoes(self):
        model = {}
        for name, seed in (("a", 3), ("b", 3), ("c", 4), ("d", None), ("e", None)):
            model[name] = self.place(name, run__seed=seed, model__hidden=[8])
            self.assertExit(model[name].train(), 0)
        self.assertSameRun(model["a"], model["b"])
        weights = {name: (place.run / "model.safetensors").read_bytes() for name, place in model.items()}
        for one, other in itertools.combinations("acde", 2):
            self.assertNotEqual(weights[one], weights[other], (one, other))
        ids = {place.identity()["run_id"] for place in model.values()}
        self.assertEqual(len(ids), len(model), "two runs have one name")

    def test_OverridesOfTheCommandLine(self):
        place = self.place()
        self.assertExit(place.train("--set", "privacy.epsilon=1", "--set", "run.seed=3", "--set", "run.dir=deep/er/run"), 0)
        self.assertIn("epsilon = 1", (place.path / "deep/er/run/config.toml").read_text())
        self.assertTrue((place.path / "deep/er/run/certificate.json").exists())
        self.assertFalse(place.run.exists())

    def test_Baseline(self):
        place = self.place()
        found = self.assertExit(place.train("--baseline"), 0).json()
        self.assertFields(found, {"baseline_test_auc": NUMBER})
        self.assertIn("non_private_baseline", place.certificate()["not_covered"])
        self.assertNotIn("non_private_baseline", self.trained.certificate()["not_covered"])

    def test_EpsilonAndNoiseAgree(self):
        plans = [(0.5, 0.01, 1000, 1e-5), (1, 0.0735, 400, 1e-5), (3, 0.02, 2000, 1e-6), (8, 0.2, 100, 1e-5), (2, 1, 10, 1e-5)]
        for accountant, (epsilon, rate, steps, delta) in itertools.product(("rdp", "pld"), plans):
            with self.subTest(accountant=accountant, epsilon=epsilon, rate=rate):
                found = self.answer("account", "noise", "--epsilon", epsilon, "--sample-rate", rate, "--steps", steps,
                                    "--delta", delta, "--accountant", accountant)
                self.assertFields(found, {"noise_multiplier": NUMBER, "epsilon": NUMBER, "accountant": TEXT})
                noise, how = found["noise_multiplier"], ("--accountant", accountant, "--gap", "1e-5")
                self.assertLessEqual(self.epsilon(noise, rate, steps, delta, *how), epsilon)
                # A hundredth less noise must be too little, or noise was given away.
                self.assertGreater(self.epsilon(noise * 0.99, rate, steps, delta, *how), epsilon)

    def test_EpsilonAndDeltaComeWithBothBounds(self):
        plan = ["--noise-multiplier", 1, "--sample-rate", 0.01, "--steps", 10000]
        found = self.answer("account", "epsilon", *plan, "--delta", 1e-5)
        self.assertFields(found, {"epsilon": NUMBER, "epsilon_lower": NUMBER, "gap": NUMBER, "milliseconds": NUMBER})
        self.assertEqual(found["accountant"], "pld")
        self.assertLessEqual(found["epsilon_lower"], 6.18773)  # the exact value is between 6.187706 and 6.187725
        self.assertGreaterEqual(found["epsilon"], 6.18770)
        self.assertLessEqual(found["gap"], 1e-3 * found["epsilon"])
        self.assertLess(found["epsilon"], self.answer("account", "epsilon", *plan, "--delta", 1e-5, "--accountant", "rdp")["epsilon"])
        found = self.answer("account", "delta", *plan, "--epsilon", 1)
        self.assertFields(found, {"delta": NUMBER, "delta_lower": NUMBER, "gap": NUMBER, "milliseconds": NUMBER})
        self.assertLessEqual(found["delta_lower"], 0.239144)
        self.assertGreaterEqual(found["delta"], 0.239142)
        discrete = self.answer("account", "epsilon", *plan, "--delta", 1e-5, "--noise", "discrete_gaussian")
        self.assertEqual(discrete["accountant"], "pld")  # the run's lattice is fine: it costs what continuous noise does
        self.assertGreaterEqual(discrete["epsilon"], 6.18770)
        self.assertLessEqual(discrete["gap"], 1e-3 * discrete["epsilon"])

    def test_EpsilonMovesTheRightWay(self):
        base = self.epsilon(1.1, 0.01, 1000, 1e-5)
        self.assertEqual(base, self.epsilon(1.1, 0.01, 1000, 1e-5, "--accountant", "pld"))
        self.assertLess(self.epsilon(1.2, 0.01, 1000, 1e-5), base)
        for worse in (self.epsilon(1.0, 0.01, 1000, 1e-5), self.epsilon(1.1, 0.02, 1000, 1e-5),
                      self.epsilon(1.1, 0.01, 2000, 1e-5), self.epsilon(1.1, 0.01, 1000, 1e-6)):
            self.assertGreater(worse, base)

    def test_LedgerShowAndVerify(self):
        found = self.answer("ledger", "show", "ledger.sqlite")
        self.assertFields(found, {"runs": list, "data_sets": list, "head": dict})
        (run,) = found["runs"]
        self.assertFields(run, {"run_id": TEXT, "who": TEXT, "data_set": TEXT, "data_hash": TEXT, "unit_of_privacy": TEXT,
                                "accountant": TEXT, "epsilon": NUMBER, "epsilon_cap": NUMBER, "delta": NUMBER,
                                "charged_steps": WHOLE, "planned_steps": WHOLE, "closed": bool})
        self.assertEqual((run["run_id"], run["charged_steps"], run["closed"]),
                         (self.trained.identity()["run_id"], 5, True))
        self.assertAlmostEqual(run["epsilon"], self.trained.certificate()["epsilon"], places=9)
        head = {"id": found["head"]["id"], "head_hash": found["head"]["hash"]}
        self.assertEqual(head, self.trained.certificate()["ledger_row"])
        verified = self.answer("ledger", "verify", "ledger.sqlite", "--against", "run/certificate.json")
        self.assertEqual((verified["ok"], verified["findings"], verified["head"]), (True, [], found["head"]))

    def test_LedgerCap(self):
        found = self.answer("ledger", "cap", "new.sqlite", "--data-set", "people", "--epsilon", 8, "--delta", 1e-5,
                            place=self.place())
        self.assertEqual(found, {"data_set": "people", "epsilon_cap": 8.0, "delta": 1e-5})

    def test_EvalEqualsTheCertificate(self):
        data = harness.small_data()
        metrics = self.trained.certificate()["metrics"]
        for model in ("run", "run/model.toml", "run/model.safetensors"):
            found = self.answer("eval", model, data)
            self.assertFields(found, {"auc": NUMBER, "auc_low": NUMBER, "auc_high": NUMBER, "average_precision": NUMBER,
                                      "log_loss": NUMBER, "brier": NUMBER, "count": WHOLE, "positives": WHOLE, "split": TEXT})
            for name, value in metrics.items():
                self.assertEqual(found[name.removeprefix("test_")], value, name)
        self.assertLess(found["auc_low"], found["auc"])
        self.assertGreater(found["auc_high"], found["auc"])
        counts = {split: self.answer("eval", "run", data, "--split", split)["count"] for split in ("train", "test", "all")}
        self.assertEqual(counts["all"], counts["train"] + counts["test"])
        self.assertEqual(counts["test"], self.trained.certificate()["dataset"]["counts"]["test_units"])

    def test_PredictScoresEveryRow(self):
        found = self.answer("predict", "run", harness.small_data(), "--out", "scores.csv")
        self.assertEqual((found["out"], found["rows"], found["bad_rows"]), ("scores.csv", harness.ROWS, 0))
        with open(self.trained.path / "scores.csv", newline="") as file:
            scores = list(csv.DictReader(file))
        with open(harness.small_data(), newline="") as file:
            patients = [row["patient_nbr"] for row in csv.DictReader(file)]
        self.assertEqual(list(scores[0]), ["line", "unit", "probability"])
        self.assertEqual([row["unit"] for row in scores], patients)
        self.assertEqual([int(row["line"]) for row in scores], list(range(2, harness.ROWS + 2)))
        for row in scores:
            self.assertTrue(0 <= float(row["probability"]) <= 1, row)
        self.assertGreater(len({row["probability"] for row in scores}), 100)

    def test_PredictNeedsNoLabel(self):
        lines = harness.small_data().read_text().splitlines()
        without = [line.rsplit(",", 1)[0] for line in lines]
        (self.trained.path / "unlabelled.csv").write_text("\n".join(without) + "\n")
        self.answer("predict", "run", harness.small_data(), "--out", "with.csv")
        self.answer("predict", "run", "unlabelled.csv", "--out", "without.csv")
        self.assertEqual((self.trained.path / "with.csv").read_bytes(), (self.trained.path / "without.csv").read_bytes())

    def test_Export(self):
        self.assertEqual(self.answer("export", "run", "--torchscript", "model.pt"), {"torchscript": "model.pt"})
        names = zipfile.ZipFile(self.trained.path / "model.pt").namelist()
        self.assertTrue(any(name.endswith("constants.pkl") for name in names), names)
        self.assertTrue(any("/code/" in name for name in names), names)

    def test_ReportIsWrittenAgainToTheSameBytes(self):
        place = self.trained.copy(self.folder / "copy")
        page = (place.run / "report.html").read_bytes()
        (place.run / "report.html").unlink()
        self.assertEqual(self.answer("report", "run", place=place), {"report": "run/report.html"})
        self.assertEqual((place.run / "report.html").read_bytes(), page)
        self.assertFalse((place.operator / "report.html").exists())
        self.answer("report", "run", "--operator", place=place)
        self.assertTrue((place.operator / "report.html").exists())
        self.assertEqual((place.run / "report.html").read_bytes(), page)

    def test_Doctor(self):
        self.assertFields(self.answer("doctor"), {"sotto": TEXT, "libtorch": TEXT, "arrow": TEXT, "sqlite": TEXT,
                                                  "libsodium": TEXT, "cuda_toolkit": TEXT, "cuda_driver": TEXT, "gpus": list,
                                                  "cores": WHOLE, "instruction_set": TEXT, "missing": list})

    def test_Bench(self):
        found = self.answer("bench", "step", "--model", "mlp", "--rounds", 3)
        self.assertFields(found, {"plain_ms": NUMBER, "private_ms": NUMBER, "ratio": NUMBER, "peak_bytes_ratio": NUMBER,
                                  "floor": NUMBER, "rules": list})
        for name in ("plain_ms", "private_ms", "ratio", "peak_bytes_ratio"):
            self.assertGreater(found[name], 0, name)
        # 120-256-128-2 at one row a sample: 2(p + d) for each weight over 6pd for each, and the biases come free.
        sizes = [(256, 120), (128, 256), (2, 128)]
        plain = sum(6 * p * d for p, d in sizes) - 2 * 256 * 120  # data needs no gradient
        floor = 1 + sum(2 * (p + d) for p, d in sizes) / plain
        self.assertAlmostEqual(found["floor"], floor, delta=1e-9)
        self.assertEqual({rule["rule"] for rule in found["rules"]}, {"outer product", "with its weight"})
        small = self.answer("bench", "step", "--model", "transformer", "--batch", 2, "--rounds", 1)
        self.assertEqual((small["batch"], small["rounds"], small["device"]), (2, 1, "cpu"))
        if not self.answer("doctor")["gpus"]:
            refused = self.answer("bench", "step", "--model", "mlp", "--device", "cuda", code=1)
            self.assertEqual(refused["error"]["kind"], "cuda")

    def test_Norms(self):
        fixtures = harness.SOURCE / "tests/fixtures/norms"
        found = self.answer("norms", fixtures / "mlp.pt", "--inputs", fixtures / "mlp.safetensors", "--loss", "cross_entropy")
        self.assertFields(found, {"norms": list, "non_finite": WHOLE, "rules": list, "parameters": WHOLE, "microbatch": WHOLE, "precision": TEXT})
        for rule in found["rules"]:
            self.assertFields(rule, {"name": TEXT, "shape": list, "operations": list, "rule": TEXT, "flops": NUMBER, "bytes": NUMBER})

    def test_FailureIsOneObjectToo(self):
        done = self.trained.call("report", "nowhere", "--json")
        self.assertEqual(done.code, 1)
        self.assertFields(done.json()["error"], {"kind": TEXT, "message": TEXT})
        self.assertNotEqual(done.err, "")

    def test_HelpHasAnExample(self):
        for words in [[], *COMMANDS]:
            with self.subTest(" ".join(words)):
                done = self.assertExit(self.trained.call(*words, "--help"), 0)
                self.assertIn("Example", done.out)
                self.assertIn("sotto " + " ".join(words), done.out)
                if words:
                    self.assertIn("--json", done.out)
        self.assertRegex(self.assertExit(self.trained.call("--version"), 0).out, r"^\d+\.\d+\.\d+\n$")

    def test_ProgressIsPlainLinesWithoutATerminal(self):
        for text in ("\x1b", "\r", "█"):
            self.assertNotIn(text, self.train_done.err)
        last = [line for line in self.train_done.err.splitlines() if line.startswith("5/5")]
        self.assertEqual(len(last), 1, self.train_done.err)
        for word in ("loss", "ε", "of 3", "samples/s"):
            self.assertIn(word, last[0])

    def test_ProgressIsABarOnATerminal(self):
        place = self.place()
        controller, terminal = pty.openpty()
        process = subprocess.Popen([harness.SOTTO, "train", "config.toml", "--json"], cwd=place.path,
                                   env={**harness.environment(), "TERM": "xterm"}, stdout=subprocess.PIPE, stderr=terminal)
        os.close(terminal)
        shown = b""
        while select.select([controller], [], [], harness.TIMEOUT)[0]:
            try:
                piece = os.read(controller, 65536)
            except OSError:  # how Linux says that the other end is closed
                break
            if not piece:
                break
            shown += piece
        self.assertEqual(process.wait(harness.TIMEOUT), 0)
        process.stdout.close()
        os.close(controller)
        self.assertIn("█", shown.decode())
        self.assertIn("100 %", shown.decode())
        self.assertIn("samples/s", shown.decode())


if __name__ == "__main__":
    harness.main()
