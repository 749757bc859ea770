"""scripts/check_layers.py goes red on an include against the layers, with file and line, and only then."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts/check_layers.py"
LAYERS = "base: \nkernels: base\nengine: base kernels\napp: base kernels engine\n"


class CheckLayers(unittest.TestCase):
    def check(self, files):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            (root / "layers.txt").write_text(LAYERS)
            for name, content in files.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(content)
            run = subprocess.run([sys.executable, SCRIPT, root / "layers.txt", root], capture_output=True, text=True)
            return run.returncode, run.stdout + run.stderr

    def assertRed(self, files, message):
        code, output = self.check(files)
        self.assertEqual(code, 1, output)
        self.assertIn(message, output)

    def assertGreen(self, files):
        code, output = self.check(files)
        self.assertEqual(code, 0, output)

    def test_downward_includes_pass(self):
        self.assertGreen({"engine/a.cpp": '#include "kernels/clip/clip.h"\n#include "base/error.h"\n#include <vector>\n',
                          "kernels/clip/clip.cu": '#include "kernels/clip/clip.h"\n',
                          "app/main.cpp": '#include "engine/a.h"\n#include "report/page.h"\n',
                          "examples/1_first.cpp": '#include "engine/a.h"\n'})

    def test_upward_include_fails_with_file_and_line(self):
        self.assertRed({"kernels/clip/clip.cu": '#include "base/view.h"\n\n#include "engine/a.h"\n'},
                       "kernels/clip/clip.cu:3: kernels may not include engine")

    def test_angle_brackets_and_blanks_do_not_hide_an_include(self):
        self.assertRed({"base/a.h": "  #  include <kernels/a.h>\n"}, "base/a.h:1: base may not include kernels")

    def test_tests_and_benches_may_include_what_their_folder_may(self):
        self.assertGreen({"tests/kernels/a_test.cpp": '#include "kernels/a.h"\n#include "tests/kernels/cases/clip.h"\n',
                          "bench/kernels/a.cpp": '#include "base/view.h"\n#include "tests/kernels/cases/clip.h"\n'})
        self.assertRed({"tests/kernels/a_test.cpp": '#include "engine/a.h"\n'},
                       "tests/kernels/a_test.cpp:1: tests may not include engine")
        self.assertRed({"bench/base/a.cpp": '#include "kernels/a.h"\n'}, "bench/base/a.cpp:1: bench may not include kernels")

    def test_relative_includes_fail(self):
        self.assertRed({"engine/tape/a.cpp": '#include "../a.h"\n'}, "engine/tape/a.cpp:1: include from the root")

    def test_doors_for_tests_are_defined_in_tests_alone(self):
        self.assertGreen({"engine/a.h": "class Noise {\n  friend struct PlanPartsForTests;\n};\n",
                          "tests/engine/a_test.cpp": "struct PlanPartsForTests {\n};\n"})
        self.assertRed({"engine/b.cpp": "\nstruct PlanPartsForTests {\n};\n"}, "engine/b.cpp:2: only tests/ may define")


if __name__ == "__main__":
    unittest.main()
