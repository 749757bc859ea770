"""The ledger's sub-commands and a training run with the ledger on a real PostgreSQL server.

Usage: ledger_postgres_test.py SOTTO FOLDER    (77: no server here, or a program without libpq)
"""
import glob, hashlib, json, os, pathlib, pwd, shutil, signal, subprocess, sys, tempfile, time

import harness

NEWEST_LAST = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: float(path.split("/")[4]))


class Server:
    """In a temporary folder, reached by its socket alone, as a user without rights: PostgreSQL refuses root."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sotto_postgres_", dir="/tmp"))
        self.user = {}
        if os.geteuid() == 0:
            names = {entry.pw_name: entry for entry in pwd.getpwall()}
            entry = names.get("postgres") or names["nobody"]
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
            self.user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self.tool("initdb", "-D", self.folder / "data", "-U", "sotto", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.process = subprocess.Popen(
            [f"{NEWEST_LAST[-1]}/postgres", "-D", self.folder / "data", "-c", f"unix_socket_directories={self.folder}",
             "-c", "listen_addresses=", "-c", "shared_buffers=16MB"],
            cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self.user)
        state = self.folder / "data" / "postmaster.pid"
        deadline = time.monotonic() + 120
        while not state.exists() or "ready" not in state.read_text():
            assert self.process.poll() is None and time.monotonic() < deadline, "the server did not start"
            time.sleep(0.01)

    def tool(self, name, *words):
        done = subprocess.run([f"{NEWEST_LAST[-1]}/{name}", *map(str, words)], cwd="/", capture_output=True, text=True, **self.user)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def rows(self, schema):
        """(payload, hash), without the program."""
        text = self.tool("psql", "-X", "-q", "-A", "-t", "-F", "\t", "-h", self.folder, "-U", "sotto", "-d", "postgres", "-c",
                         f"SELECT payload, hash FROM {schema}.entry ORDER BY id")
        return [tuple(line.split("\t")) for line in text.splitlines()]

    def end(self):
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()
        shutil.rmtree(self.folder)


class LedgerPostgresTest(harness.Case):
    def setUp(self):
        super().setUp()
        os.environ.pop("SOTTO_LEDGER_KEY", None)
        self.schema = f"ledger_{hashlib.sha256(self.id().encode()).hexdigest()[:12]}"
        self.shown = f"postgresql:///postgres?host={SERVER.folder}&schema={self.schema}"
        self.location = self.shown.replace("///", "//sotto@/")

    def ledger(self, place, verb, *words, code=0):
        return self.assertExit(place.call("ledger", verb, *words, "--json"), code).json()

    def test_EveryVerbWorksOnAServer(self):
        place = self.place()
        for name in ("owner", "ana"):
            self.ledger(place, "key", f"{name}.key")
        made = self.ledger(place, "init", self.location, "--owner-key", "owner.key", "--owner", "Olga")
        self.assertEqual((made["ledger"], made["signed"]), (self.shown, True))
        self.ledger(place, "member", self.location, "--key", "owner.key", "--public-key", "ana.key.pub", "--name", "Ana", "--team", "ml")
        self.ledger(place, "grant", self.location, "--key", "owner.key", "--team", "ml", "--epsilon", 6, "--delta", 1e-5)
        self.assertEqual(self.ledger(place, "budget", self.location)["budgets"][0]["epsilon"], 6)
        self.assertEqual([row["kind"] for row in self.ledger(place, "history", self.location)["rows"]],
                         ["genesis", "owner", "member", "grant"])
        self.ledger(place, "head", self.location, "--out", "head.json")
        found = self.ledger(place, "verify", self.location, "--head", "head.json")
        self.assertEqual((found["ok"], found["signatures"], found["head"]["id"]), (True, 3, 4))
        for form in ("json", "csv", "html"):
            self.assertTrue(self.ledger(place, "export", self.location, "--format", form, "--out", f"e.{form}")["verified"])
            self.assertNotIn("sotto@", (place.path / f"e.{form}").read_text())
        self.assertEqual(self.ledger(place, "show", self.location)["runs"], [])
        self.assertIn("team ml is ε = 6", self.assertExit(place.call("ledger", "explain", self.location), 0).out)
        self.assertExit(place.call("ledger", "restore", self.location, "--to", self.location), 1, "never goes over")

    def test_ARunIsChargedOnAServerAndItsReportNamesNoUser(self):
        place = self.place(ledger__path=self.location)
        done = self.assertExit(place.train(), 0)
        previous, kinds = "", []
        for number, (payload, digest) in enumerate(SERVER.rows(self.schema), 1):
            row = json.loads(payload)
            self.assertEqual((row["id"], row["previous"]), (number, previous))
            self.assertEqual(digest, hashlib.sha256(payload.encode()).hexdigest())
            previous = digest
            kinds.append(row["kind"])
        self.assertEqual(kinds, ["genesis", "reserve"] + ["charge"] * 5 + ["release"])
        certificate = place.certificate()
        self.assertEqual((certificate["ledger"], certificate["ledger_row"]["head_hash"]), (self.shown, previous))
        self.assertTrue(self.ledger(place, "verify", self.location, "--against", "run/certificate.json")["ok"])
        self.assertIn("All runs on diabetes130", self.assertExit(place.call("ledger", "explain", self.location), 0).out)
        self.assertExit(place.call("report", "run"), 0)
        for path in (*place.run.glob("**/*"), *place.operator.glob("**/*")):
            if path.is_file():
                self.assertNotIn(b"sotto@", path.read_bytes(), path)
        self.assertNotIn("sotto@", done.out + done.err)
        self.assertFalse((place.path / "postgresql:").exists(), "no folder of that name")

    def test_AKilledRunGoesOnFromTheServer(self):
        place = self.place(ledger__path=self.location)
        self.assertKilled(place.train(fault="ledger.after_commit:4"), "ledger.after_commit:4")
        self.assertExit(place.train("--resume"), 0)
        charged = [json.loads(payload) for payload, _ in SERVER.rows(self.schema)]
        steps = [row["last_step"] for row in charged if row["kind"] == "charge"]
        self.assertEqual(steps, [1, 2, 3, 4, 5])
        self.assertTrue(self.ledger(place, "verify", self.location, "--against", "run/certificate.json")["ok"])

    def test_ALedgerMovesToAServerAndBack(self):
        place = self.place()
        self.assertExit(place.train(), 0)
        moved = self.ledger(place, "restore", "ledger.sqlite", "--to", self.location)
        self.assertEqual(moved["out"], self.shown)
        self.assertEqual(SERVER.rows(self.schema), place.ledger_entries())
        self.assertTrue(self.ledger(place, "verify", self.location, "--against", "run/certificate.json")["ok"])
        self.ledger(place, "backup", self.location, "--out", "back.sqlite")
        self.assertEqual(self.ledger(place, "history", "back.sqlite"), self.ledger(place, "history", "ledger.sqlite"))
        self.assertExit(place.train("--set", f"ledger.path={self.location}", "--set", "run.dir=second"), 0)
        self.assertEqual(len(self.ledger(place, "show", self.location)["runs"]), 2)

    def test_PasswordsAreRefusedAndNeverShown(self):
        place = self.place()
        secret = self.shown.replace("///", "//ann:hunter2@/")
        for done in (place.call("ledger", "init", secret), place.call("ledger", "verify", secret),
                     place.train("--set", f"ledger.path={secret}")):
            self.assertExit(done, 2, ".pgpass")
            self.assertNotIn("hunter2", done.out + done.err)
        self.assertFalse(place.run.exists())
        nowhere = place.call("ledger", "verify", "postgresql:///x?host=/nonexistent")
        self.assertExit(nowhere, 1, "cannot reach postgresql:///x?host=/nonexistent")


if __name__ == "__main__":
    if not NEWEST_LAST:
        print("SKIP: no PostgreSQL server here (Debian: postgresql)")
        sys.exit(77)
    if "without PostgreSQL" in subprocess.run([sys.argv[1], "ledger", "verify", "postgresql:///x"], capture_output=True, text=True).stderr:
        print("SKIP: this sotto was built without PostgreSQL (Debian: libpq-dev)")
        sys.exit(77)
    try:
        SERVER = Server()
    except (AssertionError, OSError) as error:  # a machine where nobody may become the server's user, say
        print(f"SKIP: PostgreSQL does not start here: {error}")
        sys.exit(77)
    try:
        harness.main()
    finally:
        SERVER.end()
