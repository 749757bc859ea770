"""Every way to ask for something wrong: the exit code, the words of the message (what, where, limit, way out), and that
nothing was charged and no run was left behind.

Usage: errors_test.py SOTTO FOLDER
"""
import gzip, re, sqlite3, subprocess

import harness

BATCH_NORM = harness.SOURCE / "tests" / "fixtures" / "batch_norm.pt"
LINEAR_ROWS = 40


def rows(count=LINEAR_ROWS, **columns):
    """A small table: patient, x, readmitted; a keyword argument replaces a column's values."""
    values = {"patient": [f"p{k}" for k in range(count)], "x": [str(k % 10) for k in range(count)],
              "readmitted": ["yes" if k % 3 == 0 else "no" for k in range(count)], **columns}
    return "\n".join([",".join(values), *map(",".join, zip(*values.values()))]) + "\n"


SCHEMA = """name = "visits"
[file]
public = true
[unit]
column = "patient"
[label]
column = "readmitted"
positive = ["yes"]
negative = ["no"]
[[column]]
name = "x"
kind = "numeric"
range = [0, 10]
source = "declared"
"""

# (name, --set arguments, exit code, words of the message)
SETTINGS = [
    ("unknown key", ["privacy.epsilom=1"], 2, ["privacy.epsilom", "not a known key", "did you mean privacy.epsilon?"]),
    ("unknown table", ["privcy.epsilon=1"], 2, ["privcy.epsilon", "not a known key", "did you mean privacy.epsilon?"]),
    ("--set without =", ["privacy.epsilon"], 2, ["privacy.epsilon", "="]),
    ("text for a number", ["privacy.epsilon=much"], 2, ["privacy.epsilon", "number", "much"]),
    ("number not finite", ["privacy.epsilon=inf"], 2, ["privacy.epsilon", "finite"]),
    ("negative noise", ["privacy.noise_multiplier=-1"], 2, ["privacy.noise_multiplier", "positive", "-1"]),
    ("no noise", ["privacy.noise_multiplier=0"], 2, ["privacy.noise_multiplier", "positive", "0"]),
    ("epsilon 0", ["privacy.epsilon=0"], 2, ["privacy.epsilon", "positive", "0"]),
    ("negative epsilon", ["privacy.epsilon=-2"], 2, ["privacy.epsilon", "positive", "-2"]),
    ("delta 0", ["privacy.delta=0"], 2, ["privacy.delta", "between 0 and 1", "0"]),
    ("delta 1", ["privacy.delta=1"], 2, ["privacy.delta", "between 0 and 1", "1"]),
    ("clip norm 0", ["privacy.clip_norm=0"], 2, ["privacy.clip_norm", "positive"]),
    ("sample rate 0", ["privacy.sample_rate=0"], 2, ["privacy.sample_rate", "(0, 1]"]),
    ("sample rate above 1", ["privacy.sample_rate=1.5"], 2, ["privacy.sample_rate", "(0, 1]", "1.5"]),
    ("public size 0", ["privacy.public_size=0"], 2, ["privacy.public_size", "at least 1"]),
    ("unknown relation", ["privacy.neighbouring_relation=friends"], 2, ["neighbouring_relation", "add_remove", "friends"]),
    ("unknown accountant", ["privacy.accountant=moments"], 2, ["moments", "rdp"]),
    ("no steps", ["train.steps=0"], 2, ["train.steps", "at least 1"]),
    ("steps not whole", ["train.steps=2.5"], 2, ["train.steps", "whole number", "2.5"]),
    ("unknown optimizer", ["train.optimizer=lion"], 2, ["train.optimizer", "sgd, adam, adamw", "lion"]),
    ("learning rate 0", ["train.learning_rate=0"], 2, ["train.learning_rate", "positive"]),
    ("momentum 1", ["train.momentum=1"], 2, ["train.momentum", "[0, 1)"]),
    ("beta 1", ["train.optimizer=adam", "train.beta1=1"], 2, ["train.beta1", "[0, 1)"]),
    ("negative decay", ["train.weight_decay=-1"], 2, ["train.weight_decay", "negative", "-1"]),
    ("unknown schedule", ["train.schedule=warm"], 2, ["train.schedule", "constant, cosine", "warm"]),
    ("negative seed", ["run.seed=-1"], 2, ["run.seed", "at least 0"]),
    ("no checkpoints", ["run.checkpoint_every=0"], 2, ["run.checkpoint_every", "at least 1"]),
    ("unknown model", ["model.kind=forest"], 2, ["model.kind", "mlp, torchscript", "forest"]),
    ("width 0", ["model.hidden=[8, 0]"], 2, ["model.hidden", "positive"]),
    ("three classes", ["model.outputs=3"], 2, ["output"]),
    ("test on the trained", ["data.test_split=train"], 2, ["data.test_split", "train"]),
    ("train on the tested", ["data.train_split=all"], 2, ["data.train_split", "all"]),
    ("TorchScript file not named", ["model.kind=torchscript"], 2, ["model.script"]),
    ("TorchScript file missing", ["model.kind=torchscript", "model.script=no.pt"], 1, ["no.pt"]),
    ("TorchScript file garbage", ["model.kind=torchscript", "model.script=garbage"], 1, ["garbage"]),
    ("features for tokens", ["data.encoding=tokens"], 2, ["data.encoding", "numbers"]),
    ("unknown encoding", ["data.encoding=words"], 2, ["data.encoding", "numbers, tokens", "words"]),
    ("unknown split", ["data.train_split=half"], 2, ["data.train_split", "train_without_validation", "half"]),
    ("data missing", ["data.path=no.csv"], 1, ["no.csv"]),
    ("data a folder", ["data.path=folder"], 1, ["cannot read", "folder"]),
    ("schema missing", ["data.schema=no.toml"], 2, ["no.toml"]),
    ("schema garbage", ["data.schema=garbage"], 2, ["garbage"]),
    ("run folder inside a file", ["run.dir=garbage/run"], 1, ["garbage/run"]),
    ("run folder is a file", ["run.dir=garbage"], 1, ["garbage"]),
    ("ledger is a folder", ["ledger.path=folder"], 1, ["folder", "ledger.path"]),
    ("ledger is garbage", ["ledger.path=garbage"], 1, ["garbage"]),
    ("ledger is empty", ["ledger.path=empty"], 1, ["empty", "restore a backup"]),
    ("ledger inside a file", ["ledger.path=garbage/ledger.sqlite"], 1, ["garbage"]),
    ("unknown device", ["performance.device=tpu"], 2, ["performance.device", "cpu, cuda", "tpu"]),
    ("three streams", ["performance.streams=3"], 2, ["performance.streams", "1 or 2", "3"]),
    ("half precision", ["performance.precision=float16"], 2, ["performance.precision", "float32, bfloat16", "float16"]),
    ("negative threads", ["performance.threads=-2"], 2, ["performance.threads", "at least 0"]),
    ("block of no steps", ["ledger.block_steps=0"], 2, ["ledger.block_steps", "at least 1"]),
]

# (name, content of data.csv, exit code, words)
DATA = [
    ("empty", b"", 1, ["data.csv", "empty"]),
    ("header only", b"patient,x,readmitted\n", 1, ["data.csv"]),
    ("label missing", rows().replace("readmitted", "outcome").encode(), 1, ["readmitted", "data.csv"]),
    ("unit missing", rows().replace("patient", "person").encode(), 1, ["patient", "data.csv"]),
    ("column missing", rows().replace("x", "y", 1).encode(), 1, ["x", "data.csv"]),
    ("column twice", rows().replace("readmitted", "x", 1).encode(), 1, ["data.csv"]),
    ("wrong type", rows(x=["many"] * LINEAR_ROWS).encode(), 1, ["40 of 40 rows", "0 are allowed", "line 2", "x is not", "bad_rows"]),
    ("not finite", rows(x=["nan", *["1"] * (LINEAR_ROWS - 1)]).encode(), 1, ["1 of 40 rows", "line 2", "x is not a finite number", "bad_rows"]),
    ("infinite", rows(x=["1", "inf", *["1"] * (LINEAR_ROWS - 2)]).encode(), 1, ["1 of 40 rows", "line 3", "x is not a finite number", "bad_rows"]),
    ("unknown label", rows(readmitted=["maybe", *["no"] * (LINEAR_ROWS - 1)]).encode(), 1, ["readmitted", "label", "line 2", "bad_rows"]),
    ("a cell too many", rows().encode() + b"p99,1,no,9\n", 1, ["data.csv"]),
    ("gz cut off", gzip.compress(rows(4000).encode())[:200], 1, ["data.csv"]),
    ("gz garbage", b"\x1f\x8b\x08" + b"garbage" * 20, 1, ["data.csv"]),
    ("Parquet garbage", b"PAR1" + b"garbage" * 20, 1, ["data.csv"]),
]


class ErrorsTest(harness.Case):
    def small(self, name="place", content=None, schema=SCHEMA, **changes):
        place = self.place(name, data__path="data.csv", data__schema="schema.toml", privacy__public_size=30, **changes)
        (place.path / "data.csv").write_bytes(rows().encode() if content is None else content)
        (place.path / "schema.toml").write_text(schema)
        (place.path / "garbage").write_bytes(b"garbage " * 50)
        (place.path / "empty").write_bytes(b"")
        (place.path / "folder").mkdir()
        return place

    def refused(self, place, done, code, words):
        self.assertExit(done, code, *words)
        self.assertTrue(done.err.startswith("sotto: ") or "\nsotto: " in done.err, done)
        self.assertNotIn("terminate called", done.err)
        self.assertEqual(list(done.json()), ["error"])
        self.assertEqual(sorted(done.json()["error"]), ["kind", "message"])
        self.assertNotEqual(done.json()["error"]["kind"], "internal", done)
        self.assertEqual(place.ledger_rows("reserve"), [])
        self.assertFalse((place.run / "run.json").exists(), "a run was left behind")

    def test_CudaWithoutAGpuIsRefused(self):
        place = self.small()
        if place.call("doctor", "--json").json()["gpus"]:
            self.skipTest("a GPU is here")
        self.refused(place, place.train("--set", "performance.device=cuda"), 1, ["cuda", "sotto doctor", "cpu"])

    def test_SmallTableTrains(self):
        """The other tests' table and schema are sound, so that each refusal has the reason that it is named by."""
        self.assertExit(self.small().train(), 0)

    def test_Settings(self):
        place = self.small()
        for name, settings, code, words in SETTINGS:
            if (place.run / "run.json").exists():  # the row before was wrongly accepted: it must not fail this one
                place = self.small()
            with self.subTest(name):
                done = place.train(*[word for setting in settings for word in ("--set", setting)])
                self.refused(place, done, code, words)

    def test_Data(self):
        for name, content, code, words in DATA:
            with self.subTest(name):
                place = self.small(content=content)
                self.refused(place, place.train(), code, words)

    def test_BadRowsBelowTheLimitAreCountedAndNamed(self):
        place = self.small(content=rows(x=["nan", *["1"] * (LINEAR_ROWS - 1)]).encode(),
                           schema=SCHEMA + "[bad_rows]\nlimit = 1\n")
        self.assertExit(place.train(), 0, "1 bad", "line 2", "x is not a finite number")

    def test_LineEndsOfAnySystemAreTheSameData(self):
        unix, windows = self.small("unix"), self.small("windows", rows().replace("\n", "\r\n").encode())
        for place in (unix, windows):
            self.assertExit(place.train(), 0)
        self.assertEqual((unix.run / "model.safetensors").read_bytes(), (windows.run / "model.safetensors").read_bytes())
        zipped = self.small("zipped", gzip.compress(rows().encode()))
        self.assertExit(zipped.train(), 0)
        self.assertEqual((unix.run / "model.safetensors").read_bytes(), (zipped.run / "model.safetensors").read_bytes())

    def test_DeltaThatAllowsToPublishOneUnitIsWarnedOf(self):
        place = self.small()
        self.assertExit(place.train("--set", "privacy.delta=0.04"), 0, "warning", "privacy.delta = 0.04", "1/30", "smaller delta")
        self.assertNotIn("privacy.delta", self.small("fine").train("--set", "privacy.delta=0.01").err)

    def test_ConfigFile(self):
        place = self.small()
        config = (place.path / "config.toml").read_text()
        for name, text, words in [
            ("not TOML", config + "\n[privacy\n", ["config.toml"]),
            ("key twice", config.replace("[privacy]", "[privacy]\nepsilon = 1"), ["config.toml", "epsilon"]),
            ("no epsilon", config.replace("epsilon = 3.0", ""), ["privacy.epsilon", "config.toml"]),
            ("no ledger", config.replace('path = "ledger.sqlite"', ""), ["ledger.path", "config.toml"]),
            ("unknown key", config.replace("momentum", "momentun"), ["train.momentun", "train.momentum", "config.toml", "line"]),
            ("misspelt key", config.replace("clip_norm", "clip_nrom"), ["privacy.clip_nrom", "privacy.clip_norm", "config.toml"]),
            ("place of a value", config.replace("epsilon = 3.0", "epsilon = -3.0"), ["privacy.epsilon", "config.toml", "line"]),
        ]:
            with self.subTest(name):
                (place.path / "config.toml").write_text(text)
                self.refused(place, place.train(), 2, words)
        (place.path / "config.toml").unlink()
        self.refused(place, place.train(), 2, ["cannot read config.toml"])

    def test_CommandLine(self):
        place = self.small()
        for name, words, expected in [
            ("no sub-command", [], ["subcommand"]),
            ("unknown sub-command", ["frobnicate", "config.toml"], ["`sotto` has no subcommand frobnicate", "train, account, ledger"]),
            ("misspelt sub-command", ["trian", "config.toml"], ["trian", "did you mean train?"]),
            ("unknown sub-command of account", ["account", "frobnicate", "--steps", 3],
             ["`sotto account` has no subcommand frobnicate", "epsilon, delta, noise, steps, batch, curve, compare, table"]),
            ("misspelt sub-command of ledger", ["ledger", "bugdet", "ledger.sqlite"], ["bugdet", "did you mean budget?", "verify"]),
            ("flag before it", ["ledger", "--quick", "frob"], ["`sotto ledger` has no subcommand frob", "grant"]),
            ("unknown flag", ["train", "config.toml", "--fast"], ["--fast"]),
            ("no file", ["train"], ["CONFIG"]),
            ("--set without a value", ["train", "config.toml", "--set"], ["--set"]),
            ("account of nothing", ["account"], ["subcommand", "epsilon, delta, noise"]),
            ("no number", ["account", "epsilon", "--noise-multiplier", "x"], ["--noise-multiplier"]),
            ("sample rate", ["account", "epsilon", "--noise-multiplier", 1, "--sample-rate", 2, "--steps", 1, "--delta", 1e-5],
             ["--sample-rate", "(0, 1]", "2"]),
            ("negative noise", ["account", "epsilon", "--noise-multiplier", -1, "--sample-rate", 0.1, "--steps", 1, "--delta", 1e-5],
             ["--noise-multiplier", "positive", "-1"]),
            ("steps", ["account", "noise", "--epsilon", 1, "--sample-rate", 0.1, "--steps", 0, "--delta", 1e-5],
             ["--steps", "at least 1"]),
            ("delta", ["account", "noise", "--epsilon", 1, "--sample-rate", 0.1, "--steps", 1, "--delta", 0],
             ["--delta", "between 0 and 1"]),
            ("epsilon", ["account", "noise", "--epsilon", 0, "--sample-rate", 0.1, "--steps", 1, "--delta", 1e-5],
             ["--epsilon", "positive"]),
            ("accountant", ["account", "noise", "--epsilon", 1, "--sample-rate", 0.1, "--steps", 1, "--delta", 1e-5,
                            "--accountant", "moments"], ["moments", "rdp"]),
            ("bench of an unknown model", ["bench", "step", "--model", "cnn"], ["cnn"]),
            ("no cap", ["ledger", "cap", "ledger.sqlite", "--data-set", "d", "--epsilon", 0, "--delta", 1e-5], ["epsilon"]),
        ]:
            with self.subTest(name):
                self.refused(place, place.call(*words, "--json"), 2, expected)

    def test_NumbersThatNoTypeHoldsAreRefusedAsTheyWereTyped(self):
        """Every numeric option of every sub-command, found in --help: a clamped number would be somebody else's question."""
        place = self.small()
        seen = 0

        def look(*command):
            nonlocal seen
            text = place.call(*command, "--help").out
            for option, kind in re.findall(r"^  (--[a-z-]+) ([A-Z]+)", text, re.M):
                wrong = {"INT": ["99999999999999999999", "010"], "UINT": ["99999999999999999999"], "FLOAT": ["1e999"]}.get(kind, [])
                for value in wrong:
                    with self.subTest(command=command, option=option, value=value):
                        self.assertExit(place.call(*command, f"{option}={value}"), 2, option, value)
                        seen += 1
            for name in re.findall(r"^  ([a-z]+) +\S", text.partition("Subcommands:")[2].partition("Examples:")[0], re.M):
                look(*command, name)

        look()
        self.assertGreater(seen, 60, "the options were found")

    def test_CommandsOnWhatIsNotThere(self):
        place = self.small()
        self.assertExit(place.train(), 0)
        before = place.ledger_entries()
        (place.path / "unlabelled.csv").write_text(rows().replace("readmitted", "other"))
        (place.path / "no_x.csv").write_text(rows().replace("x", "y", 1))
        (place.path / "one_class.csv").write_text(rows(readmitted=["no"] * LINEAR_ROWS))
        for name, words, code, expected in [
            ("predict without a column", ["predict", "run", "no_x.csv", "--out", "out.csv"], 1, ["x", "no_x.csv"]),
            ("predict without data", ["predict", "run", "no.csv", "--out", "out.csv"], 1, ["no.csv"]),
            ("predict without a model", ["predict", "folder", "data.csv", "--out", "out.csv"], 1, ["model.toml", "folder"]),
            ("predict into a file's inside", ["predict", "run", "data.csv", "--out", "garbage/out.csv"], 1, ["garbage/out.csv"]),
            ("eval without labels", ["eval", "run", "unlabelled.csv"], 1, ["readmitted", "unlabelled.csv"]),
            ("eval of one class", ["eval", "run", "one_class.csv", "--split", "all"], 1, ["positive"]),
            ("eval of an unknown split", ["eval", "run", "data.csv", "--split", "half"], 2, ["--split", "half"]),
            ("report on no run", ["report", "folder"], 1, ["folder"]),
            ("report on nothing", ["report", "nowhere"], 1, ["nowhere"]),
            ("export of nothing", ["export", "folder", "--torchscript", "m.pt"], 1, ["model.toml"]),
            ("export into a file's inside", ["export", "run", "--torchscript", "garbage/m.pt"], 1, ["garbage/m.pt"]),
            ("export to nowhere", ["export", "run", "--torchscript", "no/m.pt"], 1, ["no/m.pt"]),
            ("ledger missing", ["ledger", "show", "no.sqlite"], 1, ["no.sqlite"]),
            ("ledger garbage", ["ledger", "verify", "garbage"], 1, ["garbage"]),
            ("certificate missing", ["ledger", "verify", "ledger.sqlite", "--against", "no.json"], 1, ["no.json"]),
            ("certificate garbage", ["ledger", "verify", "ledger.sqlite", "--against", "garbage"], 1, ["garbage"]),
        ]:
            with self.subTest(name):
                done = self.assertExit(place.call(*words, "--json"), code, *expected)
                self.assertEqual(list(done.json()), ["error"])
                self.assertNotEqual(done.json()["error"]["kind"], "internal", done)
                self.assertFalse((place.path / "out.csv").exists())
                self.assertFalse((place.path / "no.sqlite").exists())
        self.assertEqual(place.ledger_entries(), before)

    def test_DamagedModelIsRefused(self):
        place = self.small()
        self.assertExit(place.train(), 0)
        path = place.run / "model.safetensors"
        whole = path.read_bytes()
        header = int.from_bytes(whole[:8], "little")
        for name, content in [("cut", whole[:-2]), ("empty", b""), ("garbage", b"garbage"),
                              ("header beyond the file", (2 ** 62).to_bytes(8, "little") + whole[8:]),
                              ("header not JSON", whole[:8] + b"x" * header + whole[8 + header:])]:
            with self.subTest(name):
                path.write_bytes(content)
                self.assertExit(place.call("predict", "run", "data.csv", "--out", "out.csv"), 1, "model.safetensors")
        path.write_bytes(whole)
        toml = place.run / "model.toml"
        toml.write_text(toml.read_text().replace("range = [0, 10]", "range = [0, 20]"))
        self.assertExit(place.call("predict", "run", "data.csv", "--out", "out.csv"), 1, "model.toml", "damaged")

    def test_TamperedLedgerIsFound(self):
        place = self.small()
        self.assertExit(place.train(), 0)
        database = sqlite3.connect(place.ledger)
        database.execute("DROP TRIGGER no_update")
        database.execute("UPDATE entry SET payload = replace(payload, '\"noise_multiplier\":', '\"noise_multiplier\":9') WHERE id = 2")
        database.commit()
        database.close()
        done = self.assertExit(place.call("ledger", "verify", "ledger.sqlite", "--json"), 1)
        self.assertFalse(done.json()["ok"])
        self.assertTrue(any("2" in finding for finding in done.json()["findings"]), done)
        self.assertExit(place.train("--set", "run.dir=next"), 1, "altered", "restore a backup")
        self.assertFalse((place.path / "next" / "run.json").exists())

    def test_BatchNormIsRefusedByName(self):
        if not BATCH_NORM.exists():
            self.skipTest(f"{BATCH_NORM} is not there")
        place = self.small(model__kind="torchscript", model__script=BATCH_NORM)
        self.refused(place, place.train(), 2, ["batch"])

    def test_ProgramThatCannotWriteItsAnswerSaysSo(self):
        place = self.small()
        with open("/dev/full", "w") as full:
            done = subprocess.run([harness.SOTTO, "account", "noise", "--epsilon", "1", "--sample-rate", "0.1", "--steps", "1",
                                   "--delta", "1e-5"], cwd=place.path, stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1, done)


if __name__ == "__main__":
    harness.main()
