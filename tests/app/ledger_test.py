"""The ledger's sub-commands: keys, grants, explanations, exports, copies; and a run that signs.

Usage: ledger_test.py SOTTO FOLDER
"""
import csv, hashlib, html.parser, json, math, os, resource, sqlite3, subprocess

import harness


class Page(html.parser.HTMLParser):
    """Every tag closes, and nothing is loaded from anywhere."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.scripts = [], "", 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        assert not {"src", "href"} & {name for name, _ in attributes}, (tag, attributes)
        self.scripts += tag == "script"
        if tag not in ("meta", "br", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        self.text += data


class LedgerTest(harness.Case):
    def setUp(self):
        super().setUp()
        os.environ.pop("SOTTO_LEDGER_KEY", None)
        self.addCleanup(os.environ.pop, "SOTTO_LEDGER_KEY", None)

    def ledger(self, place, verb, *words, code=0):
        return self.assertExit(place.call("ledger", verb, *words, "--json"), code).json()

    def owned(self):
        """A ledger of Olga's, with Ana who may spend for the team ml, and a grant."""
        place = self.place()
        for name in ("owner", "ana"):
            self.ledger(place, "key", f"{name}.key")
        self.ledger(place, "init", "ledger.sqlite", "--owner-key", "owner.key", "--owner", "Olga")
        self.ledger(place, "member", "ledger.sqlite", "--key", "owner.key", "--public-key", "ana.key.pub", "--name", "Ana",
                    "--team", "ml")
        self.ledger(place, "grant", "ledger.sqlite", "--key", "owner.key", "--team", "ml", "--epsilon", 6, "--delta", 1e-5,
                    "--renew-days", 90, "--note", "=spring, \"26\"")
        return place

    def test_TheOwnersKeyCapsADataSetAndNoOther(self):
        place = self.owned()
        cap = ("cap", "ledger.sqlite", "--data-set", "d", "--epsilon", 3, "--delta", 1e-5)
        self.assertExit(place.call("ledger", *cap), 2, "--key", "SOTTO_LEDGER_KEY")
        self.assertExit(place.call("ledger", *cap, "--key", "ana.key"), 2, "takes an owner's key")
        self.ledger(place, *cap, "--key", "owner.key")
        self.assertTrue(self.ledger(place, "verify", "ledger.sqlite")["ok"])

    def test_AFullDiskIsSaidAndNothingIsLost(self):
        place = self.owned()
        rows = len(self.ledger(place, "history", "ledger.sqlite")["rows"])
        words = [harness.SOTTO, "ledger", "grant", "ledger.sqlite", "--key", "owner.key", "--team", "x", "--epsilon", "1",
                 "--delta", "1e-5"]
        small = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        full = subprocess.run(words, cwd=place.path, capture_output=True, text=True, preexec_fn=small)
        self.assertEqual(full.returncode, 1, full.stderr)
        self.assertIn("ledger.sqlite", full.stderr)
        self.assertTrue(self.ledger(place, "verify", "ledger.sqlite")["ok"])
        self.assertEqual(len(self.ledger(place, "history", "ledger.sqlite")["rows"]), rows)

    def test_ARunSignsWithItsKeyAndItsBudgetIsCharged(self):
        place = self.owned()
        refused = self.assertExit(place.train(), 2, "SOTTO_LEDGER_KEY")
        self.assertIn("error", refused.json())
        os.environ["SOTTO_LEDGER_KEY"] = str(place.path / "ana.key")
        self.assertExit(place.train("--set", "run.dir=run2"), 0)
        shown = self.ledger(place, "verify", "ledger.sqlite", "--against", "run2/certificate.json")
        self.assertTrue(shown["ok"])
        self.assertGreaterEqual(shown["signatures"], 3 + 1 + 5 + 1, "three of the owner, reservation, steps, release")
        (budget,) = self.ledger(place, "budget", "ledger.sqlite")["budgets"]
        self.assertEqual((budget["scope"], len(budget["runs"]), budget["renew_days"]), ({"team": "ml"}, 1, 90))
        self.assertGreater(budget["spent"], 0)
        self.assertLessEqual(budget["spent"], 6)
        for path in place.path.glob("**/*"):
            if path.is_file() and path.name != "ana.key":
                secret = (place.path / "ana.key").read_text().split(": ")[1].strip()
                self.assertNotIn(secret.encode(), path.read_bytes(), path)

    def test_ARunIsForThePurposeItsSettingsName(self):
        place = self.place()
        (place.path / "keys").mkdir()
        for name in ("owner", "ana"):
            self.ledger(place, "key", f"keys/{name}.key")
        self.ledger(place, "init", "ledger.sqlite", "--owner-key", "keys/owner.key", "--owner", "Olga")
        self.ledger(place, "member", "ledger.sqlite", "--key", "keys/owner.key", "--public-key", "keys/ana.key.pub",
                    "--name", "Ana", "--organisation", "clinic")
        self.ledger(place, "grant", "ledger.sqlite", "--key", "keys/owner.key", "--purpose", "research", "--epsilon", 6,
                    "--delta", 1e-5)
        rows = len(place.ledger_entries())

        def train(run, *assignments):
            words = [f"run.dir={run}", "ledger.signing_key=keys/ana.key", *assignments]
            return place.train(*(word for each in words for word in ("--set", each)))

        for purpose in ("advertising", "researchers", None):
            with self.subTest(purpose):
                self.assertExit(train("refused", *([f"ledger.purpose={purpose}"] if purpose else [])), 3, "no grant covers")
        for assignment, expected in (
            ("ledger.purpose=a//b", "ledger.purpose"), ("ledger.team=/a", "ledger.team"), ("ledger.group=a/", "ledger.group"),
            ('ledger.purpose=""', "ledger.purpose"), ('ledger.signing_key=""', "ledger.signing_key"),
            ("ledger.organisation=firm", "Ana may spend on organisation clinic")):
            with self.subTest(assignment):
                self.assertExit(train("refused", assignment), 2, expected)
        self.assertExit(train("refused", "ledger.purpose=research", "ledger.signing_key=keys/nobody.key"), 1, "nobody.key")
        self.assertEqual(len(place.ledger_entries()), rows, "a refused run leaves no row")
        self.assertFalse((place.path / "refused" / "config.toml").exists())

        said = ("ledger.purpose=research/readmission", "ledger.team=ml/tabular", "ledger.group=adults")
        self.assertExit(train("run", *said), 0)
        reservation = json.loads(place.ledger_entries()[rows][0])
        self.assertEqual({name: reservation[name] for name in ("organisation", "purpose", "team", "group")},
                         {"organisation": "clinic", "purpose": "research/readmission", "team": "ml/tabular", "group": "adults"})
        self.assertTrue(self.ledger(place, "verify", "ledger.sqlite", "--against", "run/certificate.json")["ok"])
        resumed = place.train("--resume", *(word for each in ("ledger.signing_key=keys/ana.key", "ledger.purpose=research")
                                            for word in ("--set", each)))
        self.assertExit(resumed, 2, "reserved for \"research/readmission\"")

        secret = (place.path / "keys/ana.key").read_text().split(": ")[1].strip()
        forms = (secret.encode(), bytes.fromhex(secret), b"ana.key")
        for path in place.path.glob("**/*"):
            if path.is_file() and path.parent.name != "keys":
                for form in forms:
                    self.assertNotIn(form, path.read_bytes(), path)

    def test_KeysArePrivateAndNeverShown(self):
        place = self.place()
        done = self.assertExit(place.call("ledger", "key", "owner.key"), 0)
        secret = (place.path / "owner.key").read_text().split(": ")[1].strip()
        self.assertRegex(secret, "^[0-9a-f]{64}$")
        self.assertNotIn(secret, done.out + done.err)
        self.assertEqual((place.path / "owner.key").stat().st_mode & 0o777, 0o600)
        self.assertExit(place.call("ledger", "key", "owner.key"), 1, "owner.key")
        (place.path / "owner.key").chmod(0o644)
        self.assertExit(place.call("ledger", "init", "l.sqlite", "--owner-key", "owner.key", "--owner", "O"), 1, "chmod 600")
        self.assertFalse((place.path / "l.sqlite").exists())

    def test_ALedgerWithoutAnOwnerSaysSo(self):
        place = self.place()
        self.assertFalse(self.ledger(place, "init", "ledger.sqlite")["signed"])
        self.assertIn("not signed", self.assertExit(place.call("ledger", "init", "ledger.sqlite"), 0).out)
        self.assertIn("no row is signed", self.assertExit(place.call("ledger", "verify", "ledger.sqlite"), 0).out)

    def test_AnOldCopyPutBackIsFoundByTheHeadKeptElsewhere(self):
        place = self.owned()
        self.ledger(place, "backup", "ledger.sqlite", "--out", "old.sqlite")
        self.ledger(place, "grant", "ledger.sqlite", "--key", "owner.key", "--purpose", "research", "--epsilon", 1, "--delta", 1e-5)
        self.ledger(place, "head", "ledger.sqlite", "--out", "head.json")
        self.assertTrue(self.ledger(place, "verify", "ledger.sqlite", "--head", "head.json")["ok"])
        self.assertExit(place.call("ledger", "restore", "old.sqlite", "--to", "ledger.sqlite"), 1, "never goes over")
        place.ledger.unlink()
        self.ledger(place, "restore", "old.sqlite", "--to", "ledger.sqlite")
        self.assertTrue(self.ledger(place, "verify", "ledger.sqlite")["ok"])
        found = self.ledger(place, "verify", "ledger.sqlite", "--head", "head.json", code=1)
        self.assertIn("cut off", found["findings"][0])

    def test_ExplainSaysWhatTheNumbersMean(self):
        place = self.place()
        found = self.ledger(place, "explain", "--epsilon", 1, "--delta", 1e-5)
        # Kairouz, Oh, Viswanath 2015: the best guess from even odds.
        self.assertAlmostEqual(found["best_guess"], (math.e + 1e-5) / (1 + math.e), places=12)
        self.assertAlmostEqual(found["odds_factor"], math.e, places=12)
        for words in ("73.2 %", "50 to 50", "one in 100,000", "2.68 %"):
            self.assertIn(words, found["text"])
        for epsilon, delta in (("nan", 1e-5), ("inf", 1e-5), (-1, 1e-5), (0, 1e-5), (1, 1), (1, 0), (1, "nan")):
            with self.subTest(epsilon=epsilon, delta=delta):
                self.assertExit(place.call("ledger", "explain", f"--epsilon={epsilon}", f"--delta={delta}"), 2)

    def test_ExplainSaysWhatMayBeSpentWhereNothingWas(self):
        place = self.owned()
        self.ledger(place, "grant", "ledger.sqlite", "--key", "owner.key", "--data-set", "diabetes130", "--epsilon", 3, "--delta", 1e-6,
                    "--expires", "2999-01-31")
        (found,) = self.ledger(place, "explain", "ledger.sqlite", "--data-set", "diabetes130")["explained"]
        self.assertEqual((found["epsilon"], found["best_guess"], found["odds_factor"]), (0, 0.5, 1))
        self.assertEqual([each["scope"] for each in found["allowed"]], [{"team": "ml"}, {"data_set": "diabetes130"}])
        for words in ("Nothing was spent", "team ml is ε = 6 at δ = 1e-5 every 90 days", "data_set diabetes130 is ε = 3 at δ = 1e-6 until 2999-01-31"):
            self.assertIn(words, found["text"])
        (everything,) = self.ledger(place, "explain", "ledger.sqlite")["explained"]
        self.assertEqual(len(everything["allowed"]), 2)
        self.assertExit(place.call("ledger", "explain", "ledger.sqlite", "--data-set", "diabetes13"), 2, "no data set diabetes13",
                        "did you mean diabetes130?")
        self.assertExit(place.call("ledger", "explain", "ledger.sqlite", "--run", "ghost"), 2, "no run ghost")
        self.assertExit(place.call("ledger", "explain", "ledger.sqlite", "--epsilon", 1, "--delta", 1e-5), 2, "LEDGER excludes --epsilon")

    def test_NoFigureOfAnEditedLedgerIsShown(self):
        """Somebody with sqlite3 takes the triggers away, edits a row, mends its hash and puts the triggers back."""
        place = self.owned()
        self.ledger(place, "grant", "ledger.sqlite", "--key", "owner.key", "--data-set", "d", "--epsilon", 3, "--delta", 1e-6)
        self.ledger(place, "grant", "ledger.sqlite", "--key", "owner.key", "--purpose", "p", "--epsilon", 3, "--delta", 1e-6)
        database = sqlite3.connect(place.ledger, isolation_level=None)
        triggers = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            database.execute(f"DROP TRIGGER {name}")
        (payload,) = database.execute("SELECT payload FROM entry WHERE id = 4").fetchone()
        self.assertIn('"epsilon":6.0', payload)
        edited = payload.replace('"epsilon":6.0', '"epsilon":9.0')
        database.execute("UPDATE entry SET payload = ?, hash = ? WHERE id = 4", (edited, hashlib.sha256(edited.encode()).hexdigest()))
        for _, sql in triggers:
            database.execute(sql)
        database.close()
        for words in (["show"], ["budget"], ["history"], ["explain"], ["explain", "--data-set", "d"], ["export", "--format", "csv", "--out", "e"]):
            with self.subTest(words):
                done = self.assertExit(place.call("ledger", words[0], "ledger.sqlite", *words[1:]), 1, "was altered", "row 5",
                                       "sotto ledger verify", "restore a backup")
                self.assertEqual(done.out, "")
        self.assertFalse((place.path / "e").exists())
        for form, words in (("json", '"verified": false'), ("html", "The ledger does not hold")):
            with self.subTest(form):
                self.ledger(place, "export", "ledger.sqlite", "--format", form, "--out", f"e.{form}", code=1)
                self.assertIn(words, (place.path / f"e.{form}").read_text())

    def test_AnEditedRowGivesNobodyRights(self):
        """An analyst makes herself an owner with sqlite3, and does not mend the hash."""
        place = self.owned()
        self.ledger(place, "grant", "ledger.sqlite", "--key", "owner.key", "--purpose", "p", "--epsilon", 3, "--delta", 1e-6)
        self.ledger(place, "grant", "ledger.sqlite", "--key", "owner.key", "--purpose", "q", "--epsilon", 3, "--delta", 1e-6)
        database = sqlite3.connect(place.ledger, isolation_level=None)
        ((name, sql),) = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name = 'no_update'").fetchall()
        database.execute(f"DROP TRIGGER {name}")
        database.execute("UPDATE entry SET payload = replace(payload, '\"analyst\"', '\"owner\"') WHERE id = 3")
        database.execute(sql)
        database.close()
        rows = place.ledger_entries()
        self.assertExit(place.call("ledger", "grant", "ledger.sqlite", "--key", "ana.key", "--data-set", "d", "--epsilon", 9, "--delta", 1e-5), 1,
                        "row 3 does not match its hash", "restore a backup")
        self.assertEqual(place.ledger_entries(), rows)

    def test_BudgetShowsWhatARunThereDrawsOn(self):
        place = self.owned()
        self.ledger(place, "grant", "ledger.sqlite", "--key", "owner.key", "--organisation", "clinic", "--epsilon", 8, "--delta", 1e-5)
        self.ledger(place, "grant", "ledger.sqlite", "--key", "owner.key", "--team", "ml/vision", "--epsilon", 1, "--delta", 1e-5)
        for scope, rows in (([], [4, 5, 6]), (["--team", "ml"], [4, 6]), (["--team", "ml/vision/eyes"], [4, 6]), (["--team", "ml/text"], [4]),
                            (["--team", "mlx"], []), (["--organisation", "clinic/a", "--team", "ml"], [4, 5])):
            with self.subTest(scope):
                self.assertEqual([each["row"] for each in self.ledger(place, "budget", "ledger.sqlite", *scope)["budgets"]], rows)

    def test_GrantsThatMeanNothingAreRefused(self):
        place = self.owned()
        rows = place.ledger_entries()
        for words, expected in (
            (["--epsilon=0", "--delta=1e-5"], "epsilon"), (["--epsilon=inf", "--delta=1e-5"], "epsilon"),
            (["--epsilon=nan", "--delta=1e-5"], "epsilon"), (["--epsilon=-1", "--delta=1e-5"], "epsilon"),
            (["--epsilon=1", "--delta=1"], "delta"), (["--epsilon=1", "--delta=nan"], "delta"),
            (["--epsilon=1", "--delta=1e-5", "--renew-days=-3"], "1 to 36525"),
            (["--epsilon=1", "--delta=1e-5", "--renew-days=0"], "1 to 36525 days, got 0"),
            (["--epsilon=1", "--delta=1e-5", "--expires=2026-02-31"], "--expires: \"2026-02-31\""),
            (["--epsilon=1", "--delta=1e-5", "--team=ml"], "again"),
            (["--epsilon=1", "--delta=1e-5", "--team=/x"], "empty part")):
            with self.subTest(words):
                self.assertExit(place.call("ledger", "grant", "ledger.sqlite", "--key", "owner.key", *words), 2, expected)
        self.assertExit(place.call("ledger", "grant", "ledger.sqlite", "--key", "ana.key", "--epsilon=1", "--delta=1e-5"), 2,
                        "owner's key")
        self.assertEqual(place.ledger_entries(), rows)

    def test_ExportsAreWholeAndSafeToOpen(self):
        place = self.owned()
        for form in ("json", "csv", "html"):
            self.assertTrue(self.ledger(place, "export", "ledger.sqlite", "--format", form, "--out", f"e.{form}")["verified"])
            self.assertEqual((place.path / f"e.{form}").stat().st_mode & 0o777, 0o600)
        stored = place.ledger_entries()
        exported = json.loads((place.path / "e.json").read_text())
        for (payload, digest), row in zip(stored, exported["rows"], strict=True):
            self.assertEqual(row, {**json.loads(payload), "hash": digest})
        self.assertEqual(exported["budgets"][0]["note"], "=spring, \"26\"")
        with open(place.path / "e.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([(int(row["id"]), row["hash"]) for row in rows],
                         [(json.loads(payload)["id"], digest) for payload, digest in stored])
        page = Page((place.path / "e.html").read_text())
        self.assertEqual((page.open, page.scripts), ([], 0))
        for words in ("The chain of 4 rows holds", "team ml", "Olga", "=spring, \"26\"", stored[-1][1]):
            self.assertIn(words, page.text)
        self.assertIn('<td><span class="whole">1e-5</span></td>', (place.path / "e.html").read_text(), "not broken after the hyphen")

    def test_HistoryTellsEveryRow(self):
        place = self.owned()
        rows = self.ledger(place, "history", "ledger.sqlite")["rows"]
        self.assertEqual([row["kind"] for row in rows], ["genesis", "owner", "member", "grant"])
        self.assertEqual(len(self.assertExit(place.call("ledger", "history", "ledger.sqlite"), 0).out.splitlines()), 4)
        self.assertExit(place.call("ledger", "history", "ledger.sqlite", "--run", "ghost"), 2, "ghost")


if __name__ == "__main__":
    harness.main()
