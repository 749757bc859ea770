"""scripts/gpu_check goes red where there is no GPU, and where a CUDA test skips or fails; programs stand in for the GPU's
tools and the tests."""
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts/gpu_check"
OK = "[ RUN      ] All/Clip.Works/cuda\n[       OK ] All/Clip.Works/cuda (3 ms)\n"
HOST = "[ RUN      ] Clip.OnHost\n[       OK ] Clip.OnHost (3 ms)\n"
SKIP = "[ RUN      ] Clip.Large\nx.cpp:9: Skipped\nno CUDA device on this machine\n[  SKIPPED ] Clip.Large (0 ms)\n"
OTHER_SKIP = "[ RUN      ] Page.Draws\nx.cpp:9: Skipped\nno chromium\n[  SKIPPED ] Page.Draws (0 ms)\n"
FAILED = "[ RUN      ] Clip.Bad/cuda\n[  FAILED  ] Clip.Bad/cuda, where GetParam() = 4 (3 ms)\n"


class GpuCheck(unittest.TestCase):
    def check(self, report, gpu=True, sanitizer_code=0):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            programs = {"build/bin/kernels_tests": f"cat <<'E'\n{report}E\n[ \"$SOTTO_REQUIRE_CUDA\" = 1 ]\n",
                        "tools/nvcc": "", "tools/compute-sanitizer": f"exit {sanitizer_code}\n"}
            if gpu:
                programs["tools/nvidia-smi"] = "echo NVIDIA Imaginary\n"
            for name, body in programs.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text("#!/bin/sh\n" + body)
                (root / name).chmod(0o755)
            for tool in ("sh", "cat"):
                os.symlink(f"/bin/{tool}", root / "tools" / tool)
            run = subprocess.run([sys.executable, SCRIPT, "--no-build", "--no-bench", "--build", root / "build"],
                                 capture_output=True, text=True, env={"PATH": str(root / "tools")})
            return run.returncode, run.stdout + run.stderr

    def assertRed(self, message, *arguments, **options):
        code, output = self.check(*arguments, **options)
        self.assertEqual(code, 1, output)
        self.assertIn(message, output)

    def test_no_gpu_is_said_and_nothing_is_claimed(self):
        self.assertRed("nothing was checked", OK, gpu=False)

    def test_cuda_tests_that_pass_are_counted(self):
        code, output = self.check(OK + HOST + OTHER_SKIP)
        self.assertEqual(code, 0, output)
        self.assertIn("1 CUDA tests passed, none skipped", output)
        self.assertIn("racecheck on kernels_tests: nothing found", output)

    def test_skipped_cuda_test_is_a_failure(self):
        self.assertRed("Clip.Large skipped", OK + SKIP)

    def test_failed_test_is_a_failure(self):
        self.assertRed("Clip.Bad/cuda failed", OK + FAILED)

    def test_no_cuda_test_at_all_is_a_failure(self):
        self.assertRed("no CUDA test was found", HOST)

    def test_what_the_sanitizer_finds_is_a_failure(self):
        self.assertRed("compute-sanitizer memcheck", OK, sanitizer_code=9)


if __name__ == "__main__":
    unittest.main()
