"""What the tests of the program share: a folder of its own for each test, a small real data set, a configuration, and
readers of what a run leaves behind.

Each test file is called as: X_test.py SOTTO FOLDER    (77 = skipped)
"""
import gzip, hashlib, itertools, json, os, pathlib, shutil, signal, sqlite3, struct, subprocess, sys, tempfile, unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
DATA = SOURCE / "datasets" / "diabetes130" / "diabetic_data.csv.gz"
SCHEMA = SOURCE / "datasets" / "diabetes130" / "schema.toml"
ROWS = 3000  # of the real file: 1,979 patients to train on, 561 held out; a run starts in under half a second
TIMEOUT = 120  # seconds for one call of the program; only a hang takes that long


class Done:
    """How a call of the program ended. `code` is negative for a signal, as subprocess has it."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def json(self):
        """The one JSON object on standard output; json.loads() refuses anything before or behind it."""
        return json.loads(self.out)

    def __repr__(self):
        return f"exit code {self.code}\nstdout: {self.out}\nstderr: {self.err}"


def environment(fault=None):
    variables = {key: value for key, value in os.environ.items() if key != "SOTTO_FAULT_POINT"}
    variables["XDG_CACHE_HOME"] = str(FOLDER.parent / "cache")
    if fault:
        variables["SOTTO_FAULT_POINT"] = fault
    return variables


def small_data():
    """The first rows of the real file, written once for all tests of this process."""
    path = FOLDER / "small.csv"
    if not path.exists():
        with gzip.open(DATA, "rt", newline="") as whole:
            path.write_text("".join(itertools.islice(whole, ROWS + 1)), newline="")
    return path


def toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return json.dumps(str(value)) if isinstance(value, (str, pathlib.Path)) else repr(value)


# Five updates, a checkpoint after the second and the fourth, public metrics of each.
CONFIG = {
    "run.dir": "run", "run.seed": 7, "run.checkpoint_every": 2, "run.evaluate_every": 1,
    "data.schema": SCHEMA, "model.kind": "mlp", "model.hidden": [],
    "privacy.epsilon": 3.0, "privacy.delta": 1e-5, "privacy.clip_norm": 1.0, "privacy.sample_rate": 0.05,
    "privacy.public_size": 2000,
    "train.steps": 5, "train.optimizer": "sgd", "train.learning_rate": 0.5, "train.momentum": 0.9,
    "performance.threads": 1, "performance.planner": "shape", "ledger.path": "ledger.sqlite",
}


class Place:
    """A working directory with a configuration, config.toml, whose run is in run/ and whose ledger is ledger.sqlite.
    Paths in it are relative, so that two places with the same configuration have the same bytes in it."""

    def __init__(self, path, changes={}):
        self.path = pathlib.Path(path)
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)
        self.configure(changes)

    def configure(self, changes={}):
        """A value of None leaves the key out."""
        keys = {**CONFIG, "data.path": small_data(), **changes}
        lines = {}
        for key, value in keys.items():
            if value is not None:
                table, name = key.split(".")
                lines.setdefault(table, []).append(f"{name} = {toml(value)}")
        text = "\n".join(f"[{table}]\n" + "\n".join(rows) + "\n" for table, rows in lines.items())
        (self.path / "config.toml").write_text(text)

    run = property(lambda self: self.path / "run")
    operator = property(lambda self: self.path / "run.operator")
    key = property(lambda self: self.operator / "run_key")
    ledger = property(lambda self: self.path / "ledger.sqlite")

    def call(self, *arguments, fault=None):
        done = subprocess.run([SOTTO, *map(str, arguments)], cwd=self.path, env=environment(fault), capture_output=True,
                              text=True, timeout=TIMEOUT)
        return Done(done.returncode, done.stdout, done.stderr)

    def train(self, *arguments, fault=None):
        return self.call("train", "config.toml", "--json", *arguments, fault=fault)

    def start(self, *arguments):
        """A training run that goes on while the test does something else; end it with finish()."""
        return subprocess.Popen([SOTTO, "train", "config.toml", "--json", *map(str, arguments)], cwd=self.path,
                                env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def interrupted(self, number, step):
        """A training run that gets signal `number` while it takes that step: held there until the signal waits."""
        process = subprocess.Popen([SOTTO, "train", "config.toml", "--json"], cwd=self.path, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, env=environment(f"stop:step.updated:{step}"))
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            process.send_signal(number)
            process.send_signal(signal.SIGCONT)
            return finish(process)
        return Done(os.waitstatus_to_exitcode(status), *process.communicate(timeout=TIMEOUT))

    def copy(self, path):
        """This place as it is now, somewhere else."""
        other = Place.__new__(Place)
        other.path = pathlib.Path(path)
        shutil.rmtree(other.path, ignore_errors=True)
        shutil.copytree(self.path, other.path)
        return other

    def certificate(self):
        return json.loads((self.run / "certificate.json").read_text())

    def identity(self):
        return json.loads((self.run / "run.json").read_text())

    def checkpoint(self):
        return Tensors(self.run / "checkpoint.safetensors")

    def ledger_entries(self):
        """(payload, hash) as stored, oldest first, from a copy: the test must not take part in locking and recovery."""
        if not self.ledger.exists():
            return []
        with tempfile.TemporaryDirectory(dir=self.path) as folder:
            for suffix in ("", "-wal"):
                if (file := pathlib.Path(f"{self.ledger}{suffix}")).exists():
                    shutil.copy(file, folder)
            database = sqlite3.connect(pathlib.Path(folder) / self.ledger.name)
            entries = database.execute("SELECT payload, hash FROM entry ORDER BY id").fetchall()
            database.close()
        return entries

    def count_charges_live(self):
        """While runs write: a copy of the file and then of its log can be of two moments, a reader's view cannot."""
        if not self.ledger.exists():
            return 0
        database = sqlite3.connect(f"file:{self.ledger}?mode=ro", uri=True, timeout=TIMEOUT)
        try:
            return database.execute("SELECT count(*) FROM entry WHERE kind = 'charge'").fetchone()[0]
        except sqlite3.OperationalError:  # the table is about to be made
            return 0
        finally:
            database.close()

    def ledger_rows(self, kind=None):
        rows = [json.loads(payload) for payload, _ in self.ledger_entries()]
        return [row for row in rows if kind in (None, row["kind"])]

    def charged(self, run_id=None):
        """Every step that was charged, in order, with repetitions if there were any."""
        return [step for row in self.ledger_rows("charge") if run_id in (None, row["run_id"])
                for step in range(row["first_step"], row["last_step"] + 1)]


def finish(process):
    out, err = process.communicate(timeout=TIMEOUT)
    return Done(process.returncode, out, err)


class Tensors:
    """A safetensors file: its metadata, and everything else as bytes."""

    def __init__(self, path):
        content = pathlib.Path(path).read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        self.header = json.loads(content[8:8 + length])
        self.metadata = self.header.pop("__metadata__", {})
        self.data = content[8 + length:]


def released(place):
    """What must not depend on crashes and resumes: everything in RUN/ but the names of run, key and ledger row."""
    certificate = place.certificate()
    certificate.pop("ledger_row")
    checkpoint = place.checkpoint()
    files = {name: (place.run / name).read_bytes()
             for name in ("config.toml", "model.safetensors", "model.toml", "metrics.jsonl", "evaluation.json")}
    losses = [{key: value for key, value in json.loads(line).items() if key != "samples_per_second"}
              for line in (place.operator / "metrics.jsonl").read_text().splitlines()]
    return {"certificate": certificate, "checkpoint": (checkpoint.header, checkpoint.data), "losses": losses,
            "next_step": checkpoint.metadata["next_step"], **files}


class Case(unittest.TestCase):
    """A test with a folder of its own, which stays behind when it fails."""

    maxDiff = 4000

    def setUp(self):
        self.folder = FOLDER / self.id().split(".", 1)[1]
        shutil.rmtree(self.folder, ignore_errors=True)

    def place(self, name="place", **changes):
        """Keyword arguments are keys of the configuration with a double underscore for the dot."""
        return Place(self.folder / name, {key.replace("__", "."): value for key, value in changes.items()})

    def assertExit(self, done, code, *words):
        self.assertEqual(done.code, code, done)
        for word in words:
            self.assertIn(word, done.err, done)
        return done

    def assertSameRun(self, one, other, note=""):
        for name, value in released(other).items():
            self.assertEqual(released(one)[name], value, f"{name} differs; {note}")

    def assertLedgerHolds(self, place):
        """The hash chain is whole, and the certificate's row is in it: checked here and by the program."""
        self.assertChain(place)
        arguments = ["ledger", "verify", "ledger.sqlite", "--json", "--against", "run/certificate.json"]
        self.assertTrue(self.assertExit(place.call(*arguments), 0).json()["ok"])

    def assertChain(self, place):
        """docs/formats/ledger.md, without the program: `hash` is SHA-256 of the payload, `previous` the hash before it."""
        previous = ""
        for number, (payload, digest) in enumerate(place.ledger_entries(), 1):
            row = json.loads(payload)
            self.assertEqual((row["id"], row["previous"]), (number, previous))
            self.assertEqual(digest, hashlib.sha256(payload.encode()).hexdigest())
            previous = digest
        certified = place.certificate()["ledger_row"]
        self.assertEqual(place.ledger_entries()[certified["id"] - 1][1], certified["head_hash"])

    def assertChargedOnce(self, place, steps, run_id=None):
        """Each step once, none lost, and the run closed."""
        self.assertEqual(place.charged(run_id), list(range(1, steps + 1)))
        closed = [row["run_id"] for row in place.ledger_rows("release")]
        self.assertIn(run_id or place.identity()["run_id"], closed)
        self.assertEqual(len(closed), len(set(closed)))

    def assertKilled(self, done, fault):
        self.assertEqual(done.code, -signal.SIGKILL, done)
        self.assertIn(f"killed at {fault}", done.err)


def main():
    program = unittest.main(argv=[sys.argv[0], *sys.argv[3:]], exit=False)
    if program.result.wasSuccessful():
        shutil.rmtree(FOLDER, ignore_errors=True)
        sys.exit(0)
    sys.exit(1)


if len(sys.argv) < 3:
    sys.exit(f"usage: {sys.argv[0]} SOTTO FOLDER")
SOTTO, FOLDER = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
shutil.rmtree(FOLDER, ignore_errors=True)
FOLDER.mkdir(parents=True)
small_data()
