"""`sotto account`: what each sub-command answers, from options and from files, and what it refuses.

Usage: account_test.py SOTTO FOLDER
"""
import html.parser, itertools, json, subprocess

import harness

PLAN = ["--noise-multiplier", 1, "--sample-rate", 0.01, "--steps", 1000]
GAUSSIAN = {"mechanism": "poisson_sampled_gaussian", "noise_multiplier": 1.0, "sample_rate": 0.01}


class AccountTest(harness.Case):
    def setUp(self):
        super().setUp()
        self.folder.mkdir(parents=True)

    def call(self, *words):
        done = subprocess.run([harness.SOTTO, "account", *map(str, words)], cwd=self.folder, capture_output=True, text=True,
                              timeout=harness.TIMEOUT)
        return harness.Done(done.returncode, done.stdout, done.stderr)

    def answer(self, *words):
        done = self.assertExit(self.call(*words, "--json"), 0)
        self.assertNotIn("Infinity", done.out)
        self.assertNotIn("NaN", done.out)
        return done.json()

    def file(self, name, content):
        (self.folder / name).write_text(content if isinstance(content, str) else json.dumps(content))
        return name

    def test_FilesSayTheSameAsOptions(self):
        by_options = self.answer("epsilon", *PLAN, "--delta", 1e-5)
        files = [("--events", [{"event": GAUSSIAN, "count": 1000}]),
                 ("--events", [{"event": GAUSSIAN, "count": 600}, {"event": GAUSSIAN, "count": 400}]),
                 ("--events", {"class_name": "SelfComposedDpEvent", "module_name": "dp_accounting.dp_event", "count": 1000, "event": {
                     "class_name": "PoissonSampledDpEvent", "sampling_probability": 0.01,
                     "event": {"class_name": "GaussianDpEvent", "noise_multiplier": 1.0}}}),
                 ("--opacus-history", [[1.0, 0.01, 1000]]),
                 ("--opacus-history", {"mechanism": "rdp", "history": [[1.0, 0.01, 999], [1.0, 0.01, 1]]})]
        for number, (option, content) in enumerate(files):
            with self.subTest(number):
                found = self.answer("epsilon", option, self.file(f"{number}.json", content), "--delta", 1e-5)
                for name in ("epsilon", "epsilon_lower", "gap", "accountant", "neighbouring_relation", "delta"):
                    self.assertEqual(found[name], by_options[name], name)
                self.assertGreaterEqual(found["milliseconds"], 0)
                self.assertEqual([set(each) for each in found["events"]], [{"event", "count"}] * len(found["events"]))
        described = self.file("again.json", self.answer("epsilon", "--events", "1.json", "--delta", 1e-5)["events"])
        self.assertEqual(self.answer("epsilon", "--events", described, "--delta", 1e-5)["epsilon"], by_options["epsilon"])

    def test_Relations(self):
        # A Gaussian without sampling, σ = 1, δ = 1e-5: 4.3771780956812; replacing moves twice as far, 9.9972561464343.
        plan = ["--noise-multiplier", 1, "--sample-rate", 1, "--steps", 1, "--delta", 1e-5]
        for relation, exact in (("add_remove", 4.3771780956812), ("zero_out", 4.3771780956812), ("replace_one", 9.9972561464343)):
            found = self.answer("epsilon", *plan, "--relation", relation)
            self.assertAlmostEqual(found["epsilon"], exact, 7)
            self.assertEqual(found["neighbouring_relation"], relation)

    def test_StepsStopAtTheBudgetWithAProof(self):
        budget = ["--epsilon", 2, "--noise-multiplier", 1, "--sample-rate", 0.01, "--delta", 1e-5]
        found = self.answer("steps", *budget, "--accountant", "pld")  # published: 1,202; by RDP 881
        self.assertEqual((found["steps"], found["refused"]["steps"], found["refused"]["proven"]), (1202, 1203, True))
        self.assertLessEqual(found["epsilon"], 2)
        self.assertGreater(found["refused"]["epsilon_lower"], 2)
        self.assertEqual(found["target_epsilon"], 2)
        self.assertEqual(self.answer("steps", *budget)["accountant"], "pld", "what limits a run")
        by_rdp = self.answer("steps", *budget, "--accountant", "rdp")
        self.assertEqual((by_rdp["accountant"], by_rdp["steps"], by_rdp["refused"]["proven"]), ("rdp", 881, False))
        none = self.answer("steps", "--epsilon", 0.1, "--noise-multiplier", 1, "--sample-rate", 1, "--delta", 1e-5)
        self.assertEqual((none["steps"], none["epsilon"]), (0, 0))
        self.assertIn("1,202 steps", self.call("steps", *budget, "--accountant", "pld").out)

    def test_BatchIsTheLargestThatFits(self):
        for accountant in ("rdp", "pld"):
            found = self.answer("batch", "--epsilon", 2, "--noise-multiplier", 1, "--steps", 1000, "--units", 60000, "--delta", 1e-5,
                                "--accountant", accountant)
            self.assertEqual(found["sample_rate"], found["batch"] / 60000)
            spent = lambda batch: self.answer("epsilon", "--noise-multiplier", 1, "--steps", 1000, "--sample-rate", repr(batch / 60000),
                                              "--delta", 1e-5, "--accountant", accountant, "--gap", 1e-5)["epsilon"]
            self.assertLessEqual(spent(found["batch"]), 2)
            self.assertGreater(spent(found["batch"] + 1), 2)
        everyone = self.answer("batch", "--epsilon", 100, "--noise-multiplier", 1, "--steps", 1, "--units", 50, "--delta", 1e-5)
        self.assertEqual((everyone["batch"], everyone["refused"]), (50, None))

    def test_NoiseHasAProof(self):
        found = self.answer("noise", "--epsilon", 1, "--sample-rate", 0.01, "--steps", 10000, "--delta", 1e-5, "--accountant", "pld")
        self.assertGreaterEqual(found["noise_multiplier"], 3.8119695)  # the published bracket
        self.assertLessEqual(found["noise_multiplier"], 3.8145117 * (1 + 1e-4))
        self.assertLess(found["refused"]["noise_multiplier"], found["noise_multiplier"])
        self.assertTrue(found["refused"]["proven"])

    def test_CurveFallsAndMeetsEpsilon(self):
        found = self.answer("curve", *PLAN, "--from", 1e-9, "--to", 1e-4, "--points", 6)
        points = found["curve"]
        self.assertEqual([points[0]["delta"], len(points), points[-1]["delta"]], [1e-9, 6, 1e-4])
        for one, next_one in itertools.pairwise(points):
            self.assertGreater(one["epsilon"], next_one["epsilon"])
            self.assertLessEqual(one["epsilon_lower"], one["epsilon"])
            self.assertGreaterEqual(one["milliseconds"], 0)
        self.assertEqual(points[0]["epsilon"], self.answer("epsilon", *PLAN, "--delta", 1e-9)["epsilon"])

    def test_PlotsArePagesThatLoadNothing(self):
        class Links(html.parser.HTMLParser):
            found = []

            def handle_starttag(self, tag, attributes):
                self.found += [value for name, value in attributes if name in ("src", "href")]

        for words in (["curve", *PLAN, "--points", 3], ["compare", *PLAN, "--delta", 1e-5, "--points", 3]):
            with self.subTest(words[0]):
                self.assertEqual(self.answer(*words, "--plot", "page.html")["plot"], "page.html")
                page = (self.folder / "page.html").read_text()
                reader = Links()
                reader.feed(page)
                self.assertEqual(reader.found, [])
                self.assertIn("pld: at most", page)
                self.assertIn("1,000 Poisson-sampled Gaussian steps", page)
        self.assertExit(self.call("curve", *PLAN, "--plot", "no/folder.html"), 1, "no/folder.html")

    def test_CompareHasARowForEachAccountantOrAReason(self):
        found = self.answer("compare", *PLAN, "--delta", 1e-5)["accountants"]
        by_name = {row["accountant"]: row for row in found}
        self.assertTrue({"rdp", "pld"} <= by_name.keys())
        check = self.answer("compare", *PLAN, "--delta", 1e-5)["cross_check"]
        self.assertEqual((check["method"], check["enforces"]), ("prv", False))
        self.assertNotIn("prv", by_name)
        self.assertLessEqual(check["epsilon_lower"], by_name["pld"]["epsilon"])
        self.assertGreaterEqual(check["epsilon"], by_name["pld"]["epsilon_lower"])
        self.assertIn("cross-check, never enforces", self.call("compare", *PLAN, "--delta", 1e-5).out)
        for row in found:
            if row["epsilon"] is None:
                self.assertIn("no bound", row["reason"])
            else:
                self.assertLessEqual(by_name["pld"]["epsilon_lower"], row["epsilon"] * (1 + 1e-12))
                self.assertGreater(row["milliseconds"], 0)
        unknown = self.file("unknown.json", {"class_name": "ZCDpEvent", "rho": 0.1, "xi": 0})
        for row in self.answer("compare", "--events", unknown, "--delta", 1e-5)["accountants"]:
            self.assertIn("ZCDpEvent", row["reason"])
        for line in self.call("compare", "--events", unknown, "--delta", 1e-5).out.splitlines()[2:]:
            self.assertIn("ZCDpEvent", line)

    def test_TableHasEachCell(self):
        found = self.answer("table", "--noise-multiplier", "0.8,1", "--steps", "100,1000,2000", "--sample-rate", 0.01, "--delta", 1e-5)["cells"]
        self.assertEqual([(cell["noise_multiplier"], cell["steps"]) for cell in found],
                         [(noise, steps) for noise in (0.8, 1.0) for steps in (100, 1000, 2000)])
        for cell in found:
            one = self.answer("epsilon", "--noise-multiplier", cell["noise_multiplier"], "--steps", cell["steps"], "--sample-rate", 0.01,
                              "--delta", 1e-5)
            self.assertEqual((cell["epsilon"], cell["epsilon_lower"]), (one["epsilon"], one["epsilon_lower"]))

    def test_ABracketWiderThanAskedSaysSo(self):
        # 10^6 fixed-size batches under replace_one have bounds that are apart, whatever the grid.
        wide = self.file("wide.json", [{"event": {"mechanism": "fixed_size_sampled", "batch_size": 10, "population_size": 1000,
                                                  "with_replacement": False, "event": {"mechanism": "gaussian", "noise_multiplier": 1}},
                                        "count": 100}])
        for verb, at in (("epsilon", ["--delta", 1e-5]), ("delta", ["--epsilon", 1])):
            found = self.answer(verb, "--events", wide, "--relation", "replace_one", *at)
            self.assertEqual((found["gap_asked"], found["gap_met"]), (1e-3, False))
            self.assertGreater(found["gap"], 1e-3 * found[verb])
            said = self.call(verb, "--events", wide, "--relation", "replace_one", *at).out
            self.assertIn("wider than asked", said)
            self.assertIn("--gap 0.001", said)
            narrow = self.answer(verb, *PLAN, *at, "--gap", 1e-2)
            self.assertEqual((narrow["gap_asked"], narrow["gap_met"]), (1e-2, True))
            self.assertLessEqual(narrow["gap"], 1e-2 * narrow[verb])
            self.assertNotIn("wider than asked", self.call(verb, *PLAN, *at, "--gap", 1e-2).out)
            by_rdp = self.answer(verb, *PLAN, *at, "--accountant", "rdp")
            self.assertEqual((by_rdp["gap_asked"], by_rdp["gap_met"]), (None, None), "it has no lower ends to aim with")
        curve = self.answer("curve", "--events", wide, "--relation", "replace_one", "--points", 2)["curve"]
        self.assertEqual([point["gap_met"] for point in curve], [False, False])
        self.assertIn("2 of 2 brackets", self.call("curve", "--events", wide, "--relation", "replace_one", "--points", 2).out)
        rows = {row["accountant"]: row for row in
                self.answer("compare", "--events", wide, "--relation", "replace_one", "--delta", 1e-5)["accountants"]}
        self.assertEqual((rows["pld"]["gap_met"], rows["rdp"]["gap_met"]), (False, None))
        self.assertIn("wider than asked", self.call("compare", "--events", wide, "--relation", "replace_one", "--delta", 1e-5).out)
        cells = self.answer("table", "--noise-multiplier", 1, "--steps", "10,100", "--sample-rate", 0.01, "--delta", 1e-5)["cells"]
        self.assertEqual([cell["gap_met"] for cell in cells], [True, True])

    def test_WordsNeverSayLessThanIsSpent(self):
        for steps in (1, 10, 321, 5000):
            plan = ["--noise-multiplier", 1.3, "--sample-rate", 0.02, "--steps", steps, "--delta", 1e-5, "--lower"]
            lower, _, said = self.call("epsilon", *plan).out.partition(" ≤ ε ≤ ")
            exact = self.answer("epsilon", *plan)
            self.assertGreaterEqual(float(said.split()[0]), exact["epsilon"])
            self.assertLessEqual(float(lower), exact["epsilon_lower"])

    def test_Refusals(self):
        budget = ["--epsilon", 1, "--delta", 1e-5]
        sampled = ["--sample-rate", 0.1, "--steps", 10]
        for code, words, parts in [
            (2, ["epsilon", "--delta", 1e-5], ["--noise-multiplier", "--events", "--opacus-history"]),
            (2, ["epsilon", *PLAN, "--delta", "nan"], ["--delta", "between 0 and 1", "nan"]),
            (2, ["epsilon", *PLAN, "--delta", 1], ["--delta"]),
            (2, ["epsilon", "--noise-multiplier", "nan", *sampled, "--delta", 1e-5], ["--noise-multiplier", "nan"]),
            (2, ["epsilon", "--noise-multiplier", "inf", *sampled, "--delta", 1e-5], ["--noise-multiplier", "inf"]),
            (2, ["epsilon", *PLAN, "--delta", 1e-5, "--relation", "both"], ["both", "add_remove, replace_one, zero_out"]),
            (2, ["epsilon", *PLAN, "--delta", 1e-5, "--gap", 1e-9], ["--gap", "1e-6"]),
            (2, ["epsilon", *PLAN, "--delta", 1e-5, "--accountant", "clt"], ["clt", "pld"]),
            (2, ["epsilon", *PLAN, "--delta", 1e-5, "--events", self.file("e.json", GAUSSIAN)], ["a file of events says"]),
            (1, ["epsilon", "--events", "none.json", "--delta", 1e-5], ["none.json"]),
            (1, ["epsilon", "--events", self.file("empty.json", ""), "--delta", 1e-5], ["empty.json", "empty"]),
            (1, ["epsilon", "--events", self.file("list.json", []), "--delta", 1e-5], ["nothing is composed"]),
            (1, ["epsilon", "--events", self.file("key.json", [GAUSSIAN, {**GAUSSIAN, "sigma": 1}]), "--delta", 1e-5],
             ["key.json", "item 2 of 2", "sigma"]),
            (1, ["epsilon", "--opacus-history", self.file("o.json", [[1, 2, 3]]), "--delta", 1e-5], ["item 1 of 1", "sample_rate"]),
            (1, ["epsilon", "--events", self.file("twice.json", '{"mechanism":"gaussian","noise_multiplier":1,"noise_multiplier":50}'),
                 "--delta", 1e-5], ["twice.json", "noise_multiplier", "twice"]),
            (2, ["epsilon", "--noise-multiplier", 1, "--steps", 10, "--delta", 1e-5], ["--sample-rate is needed"]),
            (2, ["delta", *PLAN, "--epsilon", "nan"], ["--epsilon"]),
            (2, ["noise", *budget, "--sample-rate", 0.1], ["--steps"]),
            (2, ["noise", "--epsilon", 1e-9, "--delta", 1e-30, "--accountant", "rdp", *sampled], ["no noise reaches", "larger epsilon"]),
            (2, ["epsilon", *PLAN[:4], "--steps", "99999999999999999999", "--delta", 1e-5], ["--steps", "99999999999999999999"]),
            (2, ["epsilon", *PLAN[:4], "--steps", "-99999999999999999999", "--delta", 1e-5], ["--steps", "-99999999999999999999"]),
            (2, ["epsilon", *PLAN[:4], "--steps", "1e3", "--delta", 1e-5], ["--steps", "whole number", "1e3"]),
            (2, ["epsilon", *PLAN[:4], "--steps", "0x10", "--delta", 1e-5], ["--steps", "whole number", "0x10"]),
            (2, ["epsilon", *PLAN, "--delta", "1e-999"], ["--delta", "1e-999"]),
            (2, ["table", "--noise-multiplier", 1, "--steps", "10,010", "--sample-rate", 0.1, "--delta", 1e-5], ["--steps", "010"]),
            (2, ["steps", *budget, "--noise-multiplier", 0, "--sample-rate", 0.1], ["--noise-multiplier", "0"]),
            (2, ["steps", *budget, "--noise-multiplier", 1e7, "--sample-rate", 1e-6, "--accountant", "rdp"], ["nothing to limit"]),
            (2, ["batch", *budget, "--noise-multiplier", 1, "--steps", 10, "--units", 0], ["--units", "at least 1"]),
            (2, ["batch", "--epsilon", 1e-4, "--delta", 1e-9, "--noise-multiplier", 1, "--steps", 1000, "--units", 10], ["mean batch of 1"]),
            (2, ["curve", *PLAN, "--from", 0], ["--from"]),
            (2, ["curve", *PLAN, "--points", 1], ["--points", "from 2 to 1000"]),
            (2, ["curve", *PLAN, "--from", 1e-3, "--to", 1e-5], ["--from must be below --to"]),
            (2, ["table", "--noise-multiplier", "1,-1", "--steps", 10, "--sample-rate", 0.1, "--delta", 1e-5], ["-1"]),
            (2, ["table", "--noise-multiplier", ",".join(["1"] * 101), "--steps", ",".join(["1"] * 10), "--sample-rate", 0.1,
                 "--delta", 1e-5], ["1000 cells", "1010"]),
        ]:
            with self.subTest(words=words):
                self.assertExit(self.call(*words), code, *parts)

    def test_AnErrorAboutBytesThatAreNoTextIsStillJson(self):
        done = subprocess.run([harness.SOTTO, "account", "epsilon", *map(str, PLAN), "--delta", "1e-5", "--accountant", b"\xff", "--json"],
                              cwd=self.folder, capture_output=True, timeout=harness.TIMEOUT)
        self.assertEqual(done.returncode, 2)
        self.assertIn("unknown accountant", json.loads(done.stdout)["error"]["message"])


if __name__ == "__main__":
    harness.main()
