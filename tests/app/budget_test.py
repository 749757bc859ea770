"""A run stops before the step that it cannot pay, and a data set's cap stops the run that it cannot pay.

Usage: budget_test.py SOTTO FOLDER
"""
import harness

# Enough for some of the steps. What RDP says of a number of steps is the same number wherever it is asked.
PLAN = {"train__steps": 40, "privacy__noise_multiplier": 1.0, "privacy__epsilon": 1.9, "privacy__accountant": "rdp"}


class BudgetTest(harness.Case):
    def price(self, place, steps, plan):
        """What the program says that a number of steps costs. A ten-thousandth of delta pays for the noise's tails."""
        done = place.call("account", "epsilon", "--noise-multiplier", plan["noise_multiplier"], "--sample-rate",
                          plan["sample_rate"], "--steps", steps, "--delta", 1e-5 * (1 - 1e-4), "--accountant",
                          "rdp", "--json")
        return self.assertExit(done, 0).json()["epsilon"]

    def check_stopped(self, place, done):
        self.assertExit(done, 3, "budget of ε = 1.9 is spent")
        certificate = place.certificate()
        steps = certificate["steps"]
        self.assertEqual(done.json()["status"], "budget_exhausted")
        self.assertEqual(done.json()["steps"], steps)
        self.assertLess(steps, 40)
        self.assertGreater(steps, 0)
        self.assertEqual(certificate["steps_planned"], 40)
        self.assertLessEqual(certificate["epsilon"], 1.9)
        self.assertEqual(certificate["epsilon_planned"], 1.9)
        self.assertAlmostEqual(certificate["epsilon"], self.price(place, steps, certificate), places=9)
        self.assertGreater(self.price(place, steps + 1, certificate), 1.9, "another step could have been paid")
        self.assertEqual(place.checkpoint().metadata["next_step"], str(steps))
        self.assertTrue((place.run / "model.safetensors").exists())
        self.assertTrue((place.run / "report.html").exists())
        self.assertFalse(place.key.exists())
        self.assertChargedOnce(place, steps)
        self.assertLedgerHolds(place)
        return steps

    def test_StopsBeforeTheStepThatWouldExceedTheBudget(self):
        place = self.place(**PLAN)
        self.check_stopped(place, place.train())

    def test_ByPldItTakesMoreStepsAndProvesTheNextOneTooMany(self):
        by_rdp = self.place("rdp", **PLAN)
        fewer = self.check_stopped(by_rdp, by_rdp.train())
        place = self.place("pld", **{**PLAN, "privacy__accountant": None, "run__seed": None})
        done = self.assertExit(place.train(), 3, "budget of ε = 1.9 is spent")
        found = place.certificate()
        self.assertEqual((done.json()["status"], found["accountant"]), ("budget_exhausted", "pld"))
        self.assertGreater(found["steps"], fewer)
        exact, next_one = (self.assertExit(place.call(
            "account", "epsilon", "--noise-multiplier", 1, "--sample-rate", found["sample_rate"], "--steps", steps,
            "--delta", 1e-5 * (1 - 1e-4), "--accountant", "pld", "--gap", 1e-5, "--json"), 0).json()
            for steps in (found["steps"], found["steps"] + 1))
        self.assertLessEqual(exact["epsilon_lower"], found["epsilon"])
        self.assertLessEqual(found["epsilon"], 1.9)
        self.assertGreater(next_one["epsilon_lower"], 1.9, "another step could have been paid")
        self.assertLessEqual(found["refused"]["epsilon_lower"], next_one["epsilon"])
        self.assertEqual(found["refused"]["steps"], found["steps"] + 1)
        self.assertGreater(found["refused"]["epsilon_lower"], 1.9)
        self.assertChargedOnce(place, found["steps"])
        self.assertLedgerHolds(place)
        sentence = "steps are proved to cost more than the ε = 1.9 allowed"
        for verb, *more in (("show",), ("history",), ("explain", "--run", place.identity()["run_id"])):
            self.assertIn(sentence, self.assertExit(place.call("ledger", verb, "ledger.sqlite", *more), 0).out, verb)
        self.assertTrue(sentence in (place.run / "report.html").read_text(), "the page does not say it")

    def test_ChargedInBlocksStopsAtTheSameStep(self):
        single, blocks = self.place("single", **PLAN), self.place("blocks", **PLAN, ledger__block_steps=3)
        steps = self.check_stopped(single, single.train())
        self.assertEqual(self.check_stopped(blocks, blocks.train()), steps)
        self.assertLess(len(blocks.ledger_rows("charge")), steps)
        self.assertEqual((blocks.run / "model.safetensors").read_bytes(), (single.run / "model.safetensors").read_bytes())

    def test_ResumeOfAnExhaustedRunIsExhaustedStill(self):
        place = self.place(**PLAN)
        steps = self.check_stopped(place, place.train())
        rows = place.ledger_entries()
        self.assertEqual(self.check_stopped(place, place.train("--resume")), steps)
        self.assertEqual(place.ledger_entries(), rows)

    def test_KilledInsideABlockHasTheWholeBlockSpentAndNoMore(self):
        reference = self.place("reference", train__steps=12, ledger__block_steps=5)
        self.assertExit(reference.train(), 0)
        place = self.place(train__steps=12, ledger__block_steps=5)
        self.assertKilled(place.train(fault="step.updated:7"), "step.updated:7")
        self.assertEqual(place.charged(), list(range(1, 11)))
        self.assertExit(place.train("--resume"), 0)
        self.assertSameRun(place, reference)
        self.assertChargedOnce(place, 12)

    def test_OneStepThatCostsMoreThanTheBudgetIsNotTaken(self):
        place = self.place(privacy__noise_multiplier=0.6, privacy__epsilon=0.5)
        done = self.assertExit(place.train(), 3, "one step", "0.5", "add noise or lower the sample rate")
        self.assertEqual(done.json()["error"]["kind"], "budget_exhausted")
        self.assertEqual(place.ledger_rows("reserve"), [])
        # The way out that the message names must be open: no half-made run may stand in it.
        self.assertExit(place.train("--set", "privacy.noise_multiplier=6"), 0)

    def test_CapOfTheDataSetStopsTheSecondRun(self):
        place = self.place(privacy__accountant="rdp")  # as the cap adds runs up: by pld there would be less noise
        cap = ["ledger", "cap", "ledger.sqlite", "--data-set", "diabetes130", "--epsilon", 4.3, "--delta", 1e-5]
        self.assertExit(place.call(*cap), 0)
        self.assertExit(place.train(), 0)
        rows = place.ledger_entries()
        done = self.assertExit(place.train("--set", "run.dir=second", "--set", "run.seed=8"), 3, "diabetes130", "cap is 4.3")
        self.assertEqual(done.json()["error"]["kind"], "budget_exhausted")
        self.assertEqual(place.ledger_entries(), rows)
        self.assertFalse((place.path / "second" / "model.safetensors").exists())
        # A smaller run into the same folder is the way out.
        self.assertExit(place.train("--set", "run.dir=second", "--set", "privacy.epsilon=0.5"), 0)
        state = self.assertExit(place.call("ledger", "show", "ledger.sqlite", "--json"), 0).json()
        self.assertEqual(len(state["runs"]), 2)
        (data_set,) = state["data_sets"]
        self.assertLessEqual(data_set["epsilon"], data_set["epsilon_cap"])
        self.assertExit(place.call(*cap[:-3], 9, "--delta", 1e-5), 2, "for ever")

    def test_CapAfterTheFirstRunIsRefused(self):
        place = self.place()
        self.assertExit(place.train(), 0)
        rows = place.ledger_entries()
        done = place.call("ledger", "cap", "ledger.sqlite", "--data-set", "diabetes130", "--epsilon", 50, "--delta", 1e-5)
        self.assertExit(done, 2, "before the first")
        self.assertEqual(place.ledger_entries(), rows)

    def test_CalibratedNoiseSpendsNearlyAllAndNeverMore(self):
        for epsilon in (0.5, 3.0, 8.0):
            with self.subTest(epsilon=epsilon):
                place = self.place(f"e{epsilon}", privacy__epsilon=epsilon, train__steps=60)
                self.assertExit(place.train(), 0)
                spent = place.certificate()["epsilon"]
                self.assertLessEqual(spent, epsilon)
                self.assertGreater(spent, 0.99 * epsilon)  # less would be utility given away for nothing


if __name__ == "__main__":
    harness.main()
