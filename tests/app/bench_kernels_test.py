"""`sotto bench kernels`: what it writes and prints, and what it refuses.

Usage: bench_kernels_test.py SOTTO FOLDER
"""
import html.parser, json, pathlib, re

import harness

FILTER = "accumulate_row_norms B=64|clip_factors B=1024|accumulate_ghost_norms B=16"
FIELDS = {"kernel": str, "folder": str, "shape": dict, "composite": str, "bound": str} | dict.fromkeys(
    ["time_ms", "composite_ms", "speedup", "bytes", "flops", "gigabytes_per_second", "gigaflops", "percent_of_copy",
     "percent_of_matmul", "floor_ms", "percent_of_floor", "disagreement"], (int, float))


class Balanced(html.parser.HTMLParser):
    """Every element that opens closes, in order."""

    VOID = {"meta", "link", "img", "br", "hr", "input"}

    def __init__(self, test):
        super().__init__()
        self.test, self.open, self.cells = test, [], []

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        self.test.assertTrue(self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}")
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] == "td":
            self.cells.append(data)


class BenchKernelsTest(harness.Case):
    def setUp(self):
        super().setUp()
        self.here = self.place()

    def bench(self, *arguments):
        return self.here.call("bench", "kernels", *arguments)

    def refused(self, done, code, kind, *words):
        self.assertExit(done, code, *words)
        self.assertEqual(list(done.json()), ["error"])
        self.assertEqual(done.json()["error"]["kind"], kind, done)
        self.assertFalse((self.here.path / "roofline").exists())

    def test_WritesAPageAndTheSameNumbersAsJson(self):
        done = self.assertExit(self.bench("--rounds", 1, "--filter", FILTER, "--threads", 1, "--json"), 0, "copy and matmul")
        printed = done.json()
        page = self.here.path / printed.pop("report")
        self.assertEqual(page, self.here.path / "roofline" / "roofline.html")
        written = json.loads(page.with_suffix(".json").read_text())
        self.assertEqual(printed, written)
        self.assertEqual(written["format_version"], 1)
        self.assertEqual((written["rounds"], written["machine"]["threads"], written["machine"]["device"]), (1, 1, "cpu"))
        self.assertGreater(written["copy"]["gigabytes_per_second"], 0)
        self.assertGreater(written["matmul"]["gigaflops"], 0)
        self.assertTrue(written["machine"]["name"] and written["versions"]["LibTorch"])
        self.assertEqual([row["kernel"] for row in written["kernels"]],
                         ["accumulate_row_norms", "accumulate_ghost_norms", "clip_factors"])
        for row in written["kernels"]:
            self.assertEqual(set(row), set(FIELDS))
            for name, kind in FIELDS.items():
                self.assertIsInstance(row[name], kind, name)
            self.assertAlmostEqual(row["speedup"], row["composite_ms"] / row["time_ms"], places=6)
            self.assertAlmostEqual(row["gigabytes_per_second"], row["bytes"] / row["time_ms"] / 1e6, places=6)
            self.assertAlmostEqual(row["percent_of_floor"], 100 * row["floor_ms"] / row["time_ms"], places=6)
            self.assertEqual(row["bound"], "memory" if row["percent_of_copy"] >= row["percent_of_matmul"] else "compute")
        self.assertEqual(written["kernels"][0]["shape"], {"B": 64, "P": 1000})
        text = page.read_text()
        self.assertNotRegex(re.sub(r"<(script|style)>.*?</\1>", "", text, flags=re.S), r'(src|href)="')
        balanced = Balanced(self)
        balanced.feed(re.sub(r"<(script|style)\b[^>]*>.*?</\1>", "", text, flags=re.S))
        self.assertEqual(balanced.open, [])
        self.assertIn("accumulate_ghost_norms", balanced.cells)

    def test_TextForPeopleNamesThePageAndEveryKernel(self):
        done = self.assertExit(self.bench("--rounds", 1, "--filter", FILTER, "--out", "deep/er"), 0)
        self.assertIn("report: deep/er/roofline.html", done.out)
        self.assertIn("accumulate_row_norms B=64 P=1000", done.out)
        self.assertTrue((self.here.path / "deep/er/roofline.html").exists())

    def test_WhatCannotBeMeasuredIsRefused(self):
        self.refused(self.bench("--filter", "gohst", "--json"), 2, "configuration", "gohst", "accumulate_ghost_norms", "noisy_adam")
        self.refused(self.bench("--filter", "(ghost", "--json"), 2, "configuration", "(ghost", "regular expression")
        for arguments, word in ((["--rounds", "0"], "--rounds"), (["--rounds", "x"], "--rounds"), (["--rounds", "-3"], "--rounds"),
                                (["--threads", "-1"], "--threads"), (["--device", "tpu"], "tpu")):
            with self.subTest(arguments):
                self.refused(self.bench(*arguments, "--json"), 2, "usage", word)

    def test_FolderThatCannotBeWrittenIsSaidBeforeAnythingIsMeasured(self):
        (self.here.path / "file").write_text("")
        done = self.bench("--out", "file/out", "--json")
        self.refused(done, 1, "io", "file/out")
        self.assertNotIn("copy and matmul", done.err)

    def test_CudaWithoutAGpuIsRefused(self):
        if json.loads(self.here.call("doctor", "--json").out)["gpus"]:
            self.skipTest("a GPU is here")
        self.refused(self.bench("--device", "cuda", "--json"), 1, "cuda", "sotto doctor")

    def test_HelpHasExamples(self):
        done = self.assertExit(self.bench("--help"), 0)
        for words in ("Examples:", "--device cuda", "roofline.html", "--filter"):
            self.assertIn(words, done.out)


if __name__ == "__main__":
    harness.main()
