"""Kills the program at every durable boundary and at random moments: after --resume the model is the same to the last
bit as without the kill, and the ledger has each step once.

Usage: crash_test.py SOTTO FOLDER
"""
import concurrent.futures, random, re, signal, time

import harness
from harness import SOURCE

POINTS = {  # every fault point of the program; the values say how often a run of STEPS steps passes it at least
    "run.identified": 1, "run.released": 1, "step.updated": 3, "checkpoint.before": 3, "checkpoint.after": 3,
    "write_file.before_rename": 10, "write_file.after_rename": 10, "ledger.create.before_link": 1,
    "ledger.create.after_link": 1, "ledger.before_insert": 6, "ledger.before_commit": 5, "ledger.after_commit": 5,
    "ledger.migrate.before_commit": 0,  # a new ledger is not migrated; LedgerMigrationTest kills there
    "ledger.create.before_commit": 0,  # of a ledger on a server; LedgerPostgresCrashTest kills there
}
STEPS, MANY_STEPS = 3, 300  # a checkpoint after the second: kills before and behind it
RANDOM_KILLS = 50
AT_ONCE = 2


class CrashTest(harness.Case):
    def continued(self, place, *arguments):
        """Goes on as an operator would: --resume if there is a run, or else the same command again."""
        known = (place.run / "run.json").exists()
        return self.assertExit(place.train(*arguments, *(["--resume"] if known else [])), 0)

    def check(self, place, reference, note, steps=STEPS):
        self.assertSameRun(place, reference, note)
        self.assertChain(place)
        self.assertChargedOnce(place, steps)
        self.assertEqual(len(place.ledger_rows("reserve")), 1, note)
        self.assertFalse(place.key.exists(), note)

    def test_EveryPointOfTheSourceIsCovered(self):
        found = set()
        for folder in ("base", "accountants", "data", "engine", "report", "app", "cuda", "kernels"):
            for path in (SOURCE / folder).rglob("*.c*"):
                if path != SOURCE / "base" / "fault_point.cpp":
                    found |= set(re.findall(r'fault_point\((?:"([^"]*)")?', path.read_text()))
        self.assertEqual(found, set(POINTS))

    def test_KilledAtEveryDurableBoundary(self):
        reference = self.place("reference", train__steps=STEPS)
        self.assertExit(reference.train(), 0)
        self.assertChargedOnce(reference, STEPS)

        def sweep(point):
            """Dies at the first, second, … arrival, until a run no longer comes that far."""
            for arrival in range(1, 100):
                place = self.place(f"{point}.{arrival}", train__steps=STEPS)
                done = place.train(fault=f"{point}:{arrival}")
                if done.code == 0:
                    self.check(place, reference, f"unharmed by {point}:{arrival}")
                    self.assertLedgerHolds(place)
                    return arrival - 1
                self.assertKilled(done, f"{point}:{arrival}")
                charged = place.charged()
                self.continued(place)
                self.assertEqual(place.charged()[:len(charged)], charged, "a charge was lost")
                self.check(place, reference, f"killed at {point}:{arrival}")
            self.fail(f"{point} has no end")

        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            for point, arrivals in zip(POINTS, pool.map(sweep, POINTS)):
                self.assertGreaterEqual(arrivals, POINTS[point], point)

    def test_KilledTwiceWithAKeyOfTheOperatingSystem(self):
        """Without run.seed nothing can be compared across runs; two copies of one killed run share its key."""
        for fault in ("step.updated:3", "checkpoint.before:2", "ledger.after_commit:4"):
            with self.subTest(fault):
                place = self.place("first." + fault, run__seed=None)
                self.assertKilled(place.train(fault=fault), fault)
                other = place.copy(self.folder / ("second." + fault))
                self.continued(other)
                self.assertKilled(place.train("--resume", fault="step.updated:2"), "step.updated:2")
                self.continued(place)
                self.check(place, other, fault, harness.CONFIG["train.steps"])
                self.assertLedgerHolds(place)
                self.assertTrue(place.certificate()["private"])

    def wait_for_a_step(self, place, process):
        """Until the run has written the metrics of a step."""
        metrics = place.operator / "metrics.jsonl"
        written = lambda: metrics.stat().st_mtime_ns if metrics.exists() and metrics.stat().st_size > 0 else None
        before = written()
        while process.poll() is None and written() == before:
            time.sleep(0.005)

    def test_KilledAtRandomMoments(self):
        """A run of many steps is killed again and again, wherever it is, and resumed; one that gets through is checked
        and the next one begun, until there were enough kills. The seed is the clock's: each time other moments."""
        seed = time.time_ns()
        changes = {"train__steps": MANY_STEPS, "run__checkpoint_every": 7, "run__evaluate_every": 50,
                   "model__hidden": [16], "privacy__sample_rate": 0.2}
        reference = self.place("reference", **changes)
        begun = time.monotonic()
        self.assertExit(reference.call("--version"), 0)
        startup = time.monotonic() - begun
        self.assertExit(reference.train(), 0)
        whole = time.monotonic() - begun - 2 * startup

        def chain(number):
            chance = random.Random(seed + number)
            kills, inside, finished, place = 0, 0, 0, None
            while kills < RANDOM_KILLS // AT_ONCE:
                place = place or self.place(f"chain.{number}.{finished}", **changes)
                before = len(place.charged())
                process = place.start(*(["--resume"] if (place.run / "run.json").exists() else []))
                if chance.random() < 0.5:  # or else a slow machine might only ever be killed while it loads
                    self.wait_for_a_step(place, process)
                    time.sleep(chance.uniform(0, whole / 5))
                else:
                    time.sleep(chance.uniform(0, 1.5 * startup + whole / 5))
                process.send_signal(signal.SIGKILL)
                done = harness.finish(process)
                after = len(place.charged())
                self.assertIn(done.code, (0, -signal.SIGKILL), done)
                self.assertGreaterEqual(after, before, f"a charge was lost; seed {seed}")
                kills += done.code != 0
                inside += done.code != 0 and after > before
                if done.code == 0 or kills == RANDOM_KILLS // AT_ONCE:
                    if done.code != 0:
                        self.continued(place)
                    self.check(place, reference, f"seed {seed}", MANY_STEPS)
                    self.assertLedgerHolds(place)
                    finished, place = finished + 1, None
            return kills, inside, finished

        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            kills, inside, finished = map(sum, zip(*pool.map(chain, range(AT_ONCE))))
        print(f"{kills} kills, {inside} of them after at least one new step, {finished} runs; seed {seed}")
        self.assertEqual(kills, RANDOM_KILLS)
        self.assertGreaterEqual(inside, 5, "almost every kill came before the first step")


if __name__ == "__main__":
    harness.main()
