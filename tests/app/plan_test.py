"""`sotto plan`: which way each weight gets its norms, within a memory limit, and what it says of what cannot be planned.

Usage: plan_test.py SOTTO FOLDER
"""
import harness
from harness import SOURCE

FIXTURES = SOURCE / "tests/fixtures"
METHODS = {"ghost", "direct", "stored", "recomputed", "stored_bf16", "box_filter"}


class PlanTest(harness.Case):
    def setUp(self):
        super().setUp()
        self.here = self.place()

    def plan(self, *arguments):
        return self.here.call("plan", *arguments, "--threads", "1", "--json")

    def test_EveryProductHasTheWayThatIsPredictedFastestAndFits(self):
        plan = self.assertExit(self.plan("transformer", "--batch", "4"), 0).json()
        self.assertEqual(plan["batch"], 4)
        self.assertTrue(plan["fits"] and plan["captured"])
        self.assertEqual(len(plan["products"]), 8, "four weights a block")
        for product in plan["products"]:
            ways = {way["method"]: way for way in product["ways"]}
            self.assertLessEqual(set(ways), METHODS)
            self.assertEqual(product["milliseconds"], min(way["milliseconds"] for way in ways.values() if way["method"] != "stored_bf16"))
            self.assertEqual(ways["stored"]["bytes"], 4 * 4 * product["rows"] * product["columns"])
            self.assertEqual(ways["stored_bf16"]["bytes"], 4 * 2 * product["rows"] * product["columns"])
        self.assertEqual(plan["bytes"], sum(product["bytes"] for product in plan["products"]))
        limit = plan["bytes"] // 2
        tight = self.assertExit(self.plan("transformer", "--batch", "4", "--memory-limit", str(limit)), 0).json()
        self.assertTrue(tight["bytes"] <= limit or not tight["fits"])
        if all(product["method"] != "stored_bf16" for product in tight["products"]):
            self.assertGreaterEqual(tight["milliseconds"], plan["milliseconds"])

    def test_ThePlanIsHeldAgainstEveryWay(self):
        plan = self.assertExit(self.plan("mnist_cnn", "--batch", "16", "--try-all"), 0).json()
        self.assertEqual(len(plan["tried"]["best"]), len(plan["products"]))
        self.assertGreater(plan["tried"]["best_ms"], 0)
        for product in plan["products"]:
            self.assertTrue(all(way["pass_milliseconds"] > 0 for way in product["ways"] if way["method"] != "stored_bf16"))

    def test_APlanInBfloat16IsOfItsOwnTimesAndKeepsHalf(self):
        plans = {precision: self.assertExit(self.plan("transformer", "--batch", "4", "--precision", precision), 0).json()
                 for precision in ("float32", "bfloat16")}
        for wide, narrow in zip(plans["float32"]["products"], plans["bfloat16"]["products"], strict=True):
            ways = [{way["method"]: way for way in product["ways"]} for product in (wide, narrow)]
            self.assertEqual(wide["name"], narrow["name"])
            self.assertNotEqual(ways[0]["stored"]["milliseconds"], ways[1]["stored"]["milliseconds"])
        self.assertEqual(plans["bfloat16"]["precision"], "bfloat16")
        self.assertExit(self.plan("mlp", "--precision", "float16"), 2, "bfloat16")

    def test_AScriptIsPlannedFromItsInputsShape(self):
        tied = FIXTURES / "tied_embedding.pt"
        plan = self.assertExit(self.plan(tied, "--input-shape", "6,5", "--vocabulary", "8"), 0).json()
        self.assertEqual(plan["batch"], 6)
        self.assertExit(self.plan(FIXTURES / "traced_mlp.pt"), 2, "--input-shape")
        self.assertExit(self.plan(FIXTURES / "traced_mlp.pt", "--input-shape", "6,-1"), 2)

    def test_WhatIsNotThereOrCannotBePrivateIsRefused(self):
        self.assertExit(self.plan("no_such_model"), 2, "there are mlp")
        self.assertExit(self.plan("mlp", "--memory-limit", "much"), 2)
        self.assertExit(self.plan(FIXTURES / "batch_norm.pt", "--input-shape", "6,4"), 2)


if __name__ == "__main__":
    harness.main()
