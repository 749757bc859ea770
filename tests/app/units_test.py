"""Units of privacy with several records: a patient's stays are drawn, clipped and accounted for together.

Usage: units_test.py SOTTO FOLDER
"""
import csv, json

import harness
from harness import SCHEMA


class UnitsTest(harness.Case):
    def schema(self, records):
        path = self.folder / f"schema_{records}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SCHEMA.read_text().replace("max_records = 1", f"max_records = {records}"))
        return path

    def patients(self, records, place, **changes):
        return self.place(place, **{"data__schema": self.schema(records), "train__steps": 6, **changes})

    def batches(self, place):
        return [json.loads(line)["batch_size"] for line in (place.operator / "metrics.jsonl").read_text().splitlines()]

    def test_AUnitIsDrawnOnceHoweverManyRecordsItHas(self):
        one, three = self.patients(1, "one"), self.patients(3, "three")
        for place in (one, three):
            self.assertExit(place.train(), 0)
        with open(harness.small_data(), newline="") as file:
            stays = [row["patient_nbr"] for row in csv.DictReader(file)]
        self.assertLess(len(set(stays)), len(stays), "the file has patients with several stays")
        # The same key draws among the same units, but for those whose first stay is excluded and whose second is not.
        for few, many in zip(self.batches(one), self.batches(three), strict=True):
            self.assertAlmostEqual(few, many, delta=0.1 * few)
        self.assertEqual(one.certificate()["epsilon"], three.certificate()["epsilon"], "the guarantee is a patient's")
        self.assertNotEqual((one.run / "model.safetensors").read_bytes(), (three.run / "model.safetensors").read_bytes())

    def test_StoppedAndResumedRunsAreTheSameBytes(self):
        whole, broken = self.patients(3, "whole"), self.patients(3, "broken")
        self.assertExit(whole.train(), 0)
        self.assertKilled(broken.train(fault="step.updated:4"), "step.updated:4")
        self.assertExit(broken.train("--resume"), 0)
        self.assertSameRun(whole, broken)

    def test_MicroBatchesOfUnitsAddUp(self):
        whole, parts = self.patients(3, "together"), self.patients(3, "apart", performance__microbatch=16)
        for place in (whole, parts):
            self.assertExit(place.train(), 0)
        self.assertEqual(self.batches(whole), self.batches(parts))

    def test_ALimitOfNoneIsRefused(self):
        self.assertExit(self.patients(0, "none").train(), 2, "max_records")


if __name__ == "__main__":
    harness.main()
