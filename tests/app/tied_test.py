"""Models made in Python train as they are: one whose embedding is also its output layer goes all the way from micro-batches
through a stop and a resume to certificate, report and export; those that no rule makes private are refused by name.

Usage: tied_test.py SOTTO FOLDER
"""
import csv, json, signal, struct

import harness
from harness import SOURCE, Tensors

FIXTURES = SOURCE / "tests/fixtures"
STEPS = 6
LONG = 60  # of the run that a signal stops


class TiedTest(harness.Case):
    def script(self, name, place="place", **changes):
        return self.place(place, **{"model__kind": "torchscript", "model__hidden": None,
                                    "model__script": FIXTURES / f"{name}.pt", "train__steps": STEPS, **changes})

    def tied(self, place="place", **changes):
        return self.script("tied_embedding", place, **{"data__encoding": "tokens", "performance__microbatch": 64,
                                                       "train__learning_rate": 0.1, **changes})

    def values(self, place):
        """The model's parameters as numbers."""
        tensors = Tensors(place.run / "model.safetensors")
        return {name: struct.unpack(f"<{(entry['data_offsets'][1] - entry['data_offsets'][0]) // 4}f",
                                    tensors.data[slice(*entry["data_offsets"])])
                for name, entry in tensors.header.items()}

    def assertClose(self, one, other, absolute):
        self.assertEqual(one.keys(), other.keys())
        for name in one:
            self.assertLessEqual(max(abs(a - b) for a, b in zip(one[name], other[name], strict=True)), absolute, name)

    def test_TiedModelGoesTheWholeWay(self):
        whole = self.tied("whole")
        result = self.assertExit(whole.train(), 0).json()
        self.assertEqual((result["status"], result["steps"]), ("completed", STEPS))
        self.assertEqual(list(self.values(whole)), ["embedding.weight", "mix.bias", "mix.weight", "norm.bias", "norm.weight"])

        losses = [json.loads(line) for line in (whole.operator / "metrics.jsonl").read_text().splitlines()]
        self.assertEqual(len(losses), STEPS)
        self.assertGreater(min(line["batch_size"] for line in losses), 64, "no step had a second micro-batch")

        certificate = whole.certificate()
        self.assertEqual((certificate["steps"], certificate["unsafe"]), (STEPS, ["fixed_seed"]))
        self.assertLessEqual(certificate["epsilon"], 3.0)
        self.assertGreater(certificate["epsilon"], 2.9)
        self.assertLedgerHolds(whole)
        self.assertChargedOnce(whole, STEPS)

        for page in ("report.html", "report.json"):
            (whole.run / page).unlink()
        self.assertExit(whole.call("report", "run", "--json"), 0)
        self.assertGreater((whole.run / "report.html").stat().st_size, 10_000)
        self.assertIn(str(STEPS), (whole.run / "report.json").read_text())

        scored = self.assertExit(whole.call("predict", "run", harness.small_data(), "--out", "scores.csv", "--json"), 0).json()
        with open(whole.path / "scores.csv", newline="") as file:
            scores = [float(row["probability"]) for row in csv.DictReader(file)]
        self.assertEqual((scored["rows"], len(scores)), (harness.ROWS, harness.ROWS))
        self.assertTrue(all(0 < score < 1 for score in scores))
        self.assertGreater(len(set(scores)), harness.ROWS // 2, "the model says the same of nearly everybody")
        measured = self.assertExit(whole.call("eval", "run", harness.small_data(), "--json"), 0).json()
        self.assertEqual(measured["auc"], certificate["metrics"]["test_auc"])

    def test_StoppedAndResumedIsTheSameToTheLastBit(self):
        whole, stopped = self.tied("whole", train__steps=LONG), self.tied("stopped", train__steps=LONG)
        self.assertExit(whole.train(), 0)
        self.assertEqual(self.assertExit(stopped.interrupted(signal.SIGINT, 3), 130).json()["status"], "interrupted")
        at = int(stopped.checkpoint().metadata["next_step"])
        self.assertTrue(3 <= at < LONG, at)
        self.assertEqual(stopped.certificate()["epsilon"], 3.0, "who stops has seen results: the whole allotment counts")
        self.assertExit(stopped.train("--resume"), 0)
        self.assertSameRun(stopped, whole)
        self.assertChargedOnce(stopped, LONG)

    def test_MicroBatchesChangeOnlyTheRounding(self):
        whole, parts = self.tied("whole", performance__microbatch=1000), self.tied("parts")
        for place in (whole, parts):
            self.assertExit(place.train(), 0)
        first = [json.loads((place.operator / "metrics.jsonl").read_text().splitlines()[0]) for place in (whole, parts)]
        for key in ("batch_size", "clipped_fraction"):
            self.assertEqual(first[0][key], first[1][key])
        self.assertAlmostEqual(first[0]["loss"], first[1]["loss"], delta=1e-6)  # float32 forward passes in other shapes
        # The same draws and the same normals. The bound on the sum's rounding, a part of the noise's scale, grows with the
        # number of passes: by less than 1e-3 of the scale here. A learning rate of 0.08 for 0.1 moves entries by 0.05.
        self.assertClose(self.values(whole), self.values(parts), 1e-3)

    def test_UpdateIsDividedByTheDeclaredSizeNotTheCountedOne(self):
        # Twice the declared size halves the update; twice the learning rate doubles it again. The noise is a little larger
        # for the larger public cap on a batch: by less than 2e-3 of what the update is, and that is below 0.05 an entry.
        one = self.script("traced_mlp", "one", train__steps=1, train__learning_rate=0.1, privacy__public_size=2000)
        other = self.script("traced_mlp", "other", train__steps=1, train__learning_rate=0.2, privacy__public_size=4000)
        for place in (one, other):
            self.assertExit(place.train(), 0)
        self.assertClose(self.values(one), self.values(other), 1e-4)

    def test_ExportedFileIsTheTrainedModel(self):
        place = self.tied()
        self.assertExit(place.train(), 0)
        exported = place.path / "exported.pt"
        self.assertExit(place.call("export", "run", "--torchscript", exported), 0)
        # A run starts from the file's values; at a learning rate of nothing it ends with them too.
        again = self.tied("again", model__script=exported, train__steps=1, train__learning_rate=1e-30)
        self.assertExit(again.train(), 0)
        self.assertClose(self.values(again), self.values(place), 1e-20)

    def test_TracedAndScriptedModelsTrain(self):
        for name, parameters in {"traced_mlp": 4, "layer_norm_mlp": 6}.items():
            with self.subTest(name):
                place = self.script(name, name)
                self.assertExit(place.train(), 0)
                self.assertEqual(len(self.values(place)), parameters)
                self.assertLedgerHolds(place)

    def test_AModelThatNoRuleCoversTrainsOneSampleAtATimeAndSaysSo(self):
        place = self.script("weight_norm", "weight_norm", train__steps=2)
        self.assertExit(place.train(), 0, "each sample passes by itself")
        self.assertEqual(len(self.values(place)), 2)
        self.assertLedgerHolds(place)

    def test_ModelsThatNoRuleMakesPrivateAreRefused(self):
        for name, words in {
            "batch_norm": ["norm.weight", "batch normalisation", "layer normalisation"],
            "value_dependent": ["value_dependent.pt", "reads the values of a tensor", "torch.where"],
            "hidden_use": ["head.weight", "besides its linear", "requires_grad_(false)"],
            "frozen": ["frozen.pt", "no trainable parameter", "torch.jit.script"],
        }.items():
            with self.subTest(name):
                place = self.script(name, name)
                self.assertExit(place.train(), 2, *words)
                self.assertEqual(place.ledger_rows(), [], "a refused model was charged")
                self.assertFalse(place.run.exists())

    def test_ModelForOtherInputsIsRefusedInOneLine(self):
        for name, encoding, words in (("tied_embedding", "numbers", ["data.encoding", "Float"]),
                                      ("traced_mlp", "tokens", ["data.encoding", "Long"])):
            with self.subTest(name):
                done = self.assertExit(self.script(name, name, data__encoding=encoding).train(), 2, *words)
                self.assertEqual(done.err.count("\n"), 1, done)


if __name__ == "__main__":
    harness.main()
