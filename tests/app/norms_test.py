"""`sotto norms` against PyTorch: the norm of every sample's gradient from a loop in double precision, committed with the
models by tests/fixtures/make_norms_fixtures.py; and what is refused.

Usage: norms_test.py SOTTO FOLDER
"""
import json, struct

import harness
from harness import SOURCE, Tensors

FIXTURES = SOURCE / "tests/fixtures/norms"
EXPECTED = json.loads((FIXTURES / "expected.json").read_text())
# Float32 passes fall short of double by at most this much; bounds on their own rounding raise a norm by at most 1e-3.
BELOW, ABOVE = 2e-5, 1e-3 + 2e-5


def write(path, tensors):
    """A safetensors file of {name: (dtype, shape, bytes)}."""
    header, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def floats(*values):
    return struct.pack(f"<{len(values)}f", *values)


class NormsTest(harness.Case):
    def setUp(self):
        super().setUp()
        self.here = self.place()

    def norms(self, name, *arguments, inputs=None, loss=None):
        loss = loss or EXPECTED.get(name, {}).get("loss", "cross_entropy")
        return self.here.call("norms", FIXTURES / f"{name}.pt", "--inputs", inputs or FIXTURES / f"{name}.safetensors",
                              "--loss", loss, "--json", *arguments)

    def assertNorms(self, name, result):
        expected = EXPECTED[name]
        self.assertEqual([rule["name"] for rule in result["rules"]], expected["parameters"])
        self.assertEqual(result["non_finite"], 0)
        for got, truth in zip(result["norms"], expected["norms"], strict=True):
            self.assertGreaterEqual(got, truth * (1 - BELOW), name)
            self.assertLessEqual(got, truth * (1 + ABOVE), name)

    def rules(self, result):
        return {rule["name"]: rule["rule"] for rule in result["rules"]}

    def test_NormsAreThoseOfOneSampleAtATime(self):
        for name in EXPECTED:
            with self.subTest(name):
                result = self.assertExit(self.norms(name), 0).json()
                self.assertNorms(name, result)
                for rule in result["rules"]:
                    self.assertTrue(rule["shape"] and rule["rule"], rule)
                    self.assertGreaterEqual(min(rule["flops"], rule["bytes"]), 0)

    def test_MicroBatchesAndThreadsChangeNoNormByMoreThanRounding(self):
        for name in ("mlp", "tied", "shared_ids"):
            for arguments in (["--microbatch", "2"], ["--threads", "1"], ["--microbatch", "1"]):
                with self.subTest(f"{name} {arguments}"):
                    self.assertNorms(name, self.assertExit(self.norms(name, *arguments), 0).json())

    def test_RulesSayHowAndWhatItCosts(self):
        rules = {rule["name"]: rule for rule in self.norms("mlp").json()["rules"]}
        batch = len(EXPECTED["mlp"]["norms"])
        self.assertEqual((rules["0.weight"]["rule"], rules["0.weight"]["shape"]), ("outer product", [8, 6]))
        self.assertEqual(rules["0.weight"]["flops"], 2 * batch * (8 + 6))
        self.assertEqual(rules["0.bias"]["rule"], "with its weight")
        self.assertEqual(rules["2.weight"]["operations"], ["linear"])
        self.assertEqual(self.rules(self.norms("tied").json())["embedding.weight"], "embedding + tied head")
        self.assertEqual(self.rules(self.norms("long_rows").json())["2.weight"], "stored")

    def test_ParameterWithoutARuleGoesOneSampleAtATimeAndSaysSo(self):
        result = self.assertExit(self.norms("positions"), 0).json()
        self.assertNorms("positions", result)
        self.assertEqual(self.rules(result)["scale"], "per-sample pass (slow)")
        done = self.here.call("norms", FIXTURES / "positions.pt", "--inputs", FIXTURES / "positions.safetensors", "--loss",
                              "cross_entropy", "--explain")
        self.assertIn("per-sample pass (slow)", done.out)
        self.assertIn("slow", done.out.splitlines()[-1])

    def test_ModelsThatMixSamplesOrHideAUseAreRefusedByName(self):
        for name, words in {"batch_mean": ["first.weight", "changing one sample"],
                            "scaled_batch_mean": ["parameters scale", "changing one sample"],
                            "hidden": ["table.weight", "hidden", "requires_grad_(false)"]}.items():
            with self.subTest(name):
                done = self.assertExit(self.norms(name), 2, *words)
                self.assertEqual(done.json()["error"]["kind"], "configuration")

    def test_NotFiniteSampleIsNullAndLeavesTheOthersAlone(self):
        tensors = Tensors(FIXTURES / "mlp.safetensors")
        begin, end = tensors.header["x"]["data_offsets"]
        x = bytearray(tensors.data[begin:end])
        x[3 * 24:3 * 24 + 4] = floats(float("nan"))  # sample 3's first of 6 floats
        labels = tensors.data[slice(*tensors.header["y"]["data_offsets"])]
        inputs = write(self.here.path / "nan.safetensors", {"x": ("F32", [9, 6], bytes(x)), "y": ("I32", [9], labels)})
        whole, got = self.norms("mlp").json()["norms"], self.assertExit(self.norms("mlp", inputs=inputs), 0).json()
        self.assertEqual((got["norms"][3], got["non_finite"]), (None, 1))
        for sample in set(range(9)) - {3}:
            self.assertAlmostEqual(got["norms"][sample], whole[sample], delta=1e-6 * whole[sample])

    def test_WrongInputsAreSaidInOneLine(self):
        folder = self.here.path
        x, y = ("F32", [2, 6], floats(*range(12))), ("I64", [2], struct.pack("<2q", 0, 1))
        cases = [
            ({"x": x}, None, 1, ["no tensor y"]),
            ({"x": x, "y": ("I64", [1], struct.pack("<q", 0))}, None, 1, ["x has 2 samples and y has 1"]),
            ({"x": x, "y": ("I64", [2], struct.pack("<2q", 0, 4))}, None, 1, ["labels outside 0 … 3", "4 classes"]),
            ({"x": x, "y": ("F32", [2], floats(0, 1))}, None, 1, ["integer labels", "Float"]),
            ({"x": x, "y": y}, "mse", 1, ["mse needs y of the output's shape", "[2, 4]"]),
            ({"x": ("F32", [2, 5], floats(*range(10))), "y": y}, None, 2, ["TorchScript model fails", "[2, 5]"]),
            ({"x": ("F8_E4M3", [2], b"ab"), "y": y}, None, 1, ["dtype", "F32, F64, F16"]),
        ]
        for number, (tensors, loss, code, words) in enumerate(cases):
            with self.subTest(words[0]):
                inputs = write(folder / f"{number}.safetensors", tensors)
                done = self.assertExit(self.norms("mlp", inputs=inputs, loss=loss), code, *words)
                self.assertEqual(done.err.count("\n"), 1, done)
        self.assertExit(self.norms("mlp", loss="hinge"), 2, "--loss")
        self.assertExit(self.norms("missing"), 1, "no model file")

    def test_EstimatesAreCloseToTheNormsAndNeverTakeTheirPlace(self):
        for name in EXPECTED:
            with self.subTest(name):
                result = self.assertExit(self.norms(name, "--estimate", "2000"), 0).json()
                self.assertNorms(name, result)
                for estimate, truth in zip(result["estimates"], EXPECTED[name]["norms"], strict=True):
                    self.assertAlmostEqual(estimate, truth, delta=0.1 * truth)  # six deviations of 2,000 vectors
        self.assertExit(self.norms(next(iter(EXPECTED)), "--estimate", "0"), 2)


if __name__ == "__main__":
    harness.main()
