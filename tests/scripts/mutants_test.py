"""The table of scripts/mutants fits the source, and scripts/mutants notices when it does not. Nothing is compiled here."""
import importlib.machinery
import importlib.util
import pathlib
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
LOADER = importlib.machinery.SourceFileLoader("mutants", str(SOURCE / "scripts/mutants"))
mutants = importlib.util.module_from_spec(importlib.util.spec_from_loader("mutants", LOADER))
LOADER.exec_module(mutants)

GOOD = {"name": "a", "why": "b", "file": "a.cpp", "old": "x + y", "new": "x - y", "tests": ["a_tests A.*"]}


class MutantsTest(unittest.TestCase):
    def read(self, *entries, source="x + y;\n"):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "tests/a").mkdir(parents=True)
            (root / "a.cpp").write_text(source)
            (root / "table.toml").write_text("".join(
                "[[mutant]]\n" + "".join(f"{key} = {value!r}\n" for key, value in entry.items()) for entry in entries))
            return mutants.read_table(root / "table.toml", root)

    def assertRefused(self, message, *entries, **source):
        with self.assertRaisesRegex(mutants.Broken, message):
            self.read(*entries, **source)

    def test_EveryMutantAppliesToTheSourceExactlyOnce(self):
        self.assertGreaterEqual(len(mutants.read_table(mutants.TABLE, SOURCE)), 40)

    def test_EveryFilterNamesTestsThatExist(self):
        for mutant in mutants.read_table(mutants.TABLE, SOURCE):
            for test in mutant["tests"]:
                program, chosen = test.split(" ")
                if program.endswith(".py"):
                    self.assertIn(f"def {chosen.split('.')[1]}(", (SOURCE / program).read_text(), mutant["name"])
                    continue
                files = (SOURCE / "tests" / program.removesuffix("_tests")).rglob("*.cpp")
                text = "".join(path.read_text() for path in files)
                for one in chosen.split(":"):
                    self.assertIn(one.strip("*").split(".")[0], text, f"{mutant['name']}: {test}")

    def test_TextThatIsGoneOrThereTwiceIsRefused(self):
        self.assertEqual(self.read(GOOD), [GOOD])
        self.assertRefused("a: its old text is 0 times in a.cpp", GOOD, source="x * y;\n")
        self.assertRefused("a: its old text is 2 times", GOOD, source="x + y; x + y;\n")

    def test_WhatCannotTurnATestRedIsRefused(self):
        self.assertRefused("changes nothing", {**GOOD, "new": GOOD["old"]})
        self.assertRefused("at least one test", {**GOOD, "tests": []})
        self.assertRefused("neither a test program", {**GOOD, "tests": ["b_tests B.*"]})
        self.assertRefused("neither a test program", {**GOOD, "tests": ["a_tests"]})
        self.assertRefused("twice", GOOD, GOOD)

    def test_SourceIsSoundAgainAfterAMutation(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "a.cpp"
            file.write_text("x + y;\n")
            with self.assertRaises(mutants.Broken):
                with mutants.Mutation(file, GOOD["old"], GOOD["new"]):
                    self.assertEqual(file.read_text(), "x - y;\n")
                    raise mutants.Broken("does not build")
            self.assertEqual(file.read_text(), "x + y;\n")


if __name__ == "__main__":
    unittest.main()
