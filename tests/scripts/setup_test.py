"""scripts/setup unpacks what its list says, whole or not at all, and returns at once when it is there. Small wheels stand in
for the pinned ones."""
import hashlib
import importlib.machinery
import importlib.util
import io
import contextlib
import pathlib
import tempfile
import unittest
import zipfile

PATH = pathlib.Path(__file__).resolve().parents[2] / "scripts/setup"


def load():
    loader = importlib.machinery.SourceFileLoader("setup_script", str(PATH))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("setup_script", loader))
    loader.exec_module(module)
    return module


class Setup(unittest.TestCase):
    def setUp(self):
        self.setup = load()
        self.folder = tempfile.TemporaryDirectory()
        self.deps = pathlib.Path(self.folder.name)
        self.site = self.deps / "site"

    def tearDown(self):
        self.folder.cleanup()

    def wheel(self, name, version="1.0", files=("a.so", "b.py"), **fields):
        """Puts a wheel into .deps/wheels and returns its line of the list."""
        path = self.deps / "wheels" / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
        path.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            for file in files:
                archive.writestr(zipfile.ZipInfo(f"{name}/{file}", (2020, 2, 2, 2, 2, 2)), f"{name} {version} {file}")
        return {"name": name, "version": version, "platform": "any", "files": [f"{name}/*.so"],
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest()} | fields

    def make(self, *wheels, toolkit=False):
        wanted = self.setup.wanted_wheels(wheels, toolkit, use_system=False)
        with contextlib.redirect_stdout(io.StringIO()):
            self.setup.make_site(self.deps, wanted)
        return wanted

    def is_ready(self, wanted):
        stamp = self.setup.read_stamp(self.site)
        return all(self.setup.is_unpacked(w, stamp) for w in wanted.values())

    def test_only_listed_files_are_unpacked_with_the_wheels_times(self):
        wanted = self.make(self.wheel("one"))
        self.assertEqual((self.site / "one/a.so").read_text(), "one 1.0 a.so")
        self.assertFalse((self.site / "one/b.py").exists())
        self.assertLess((self.site / "one/a.so").stat().st_mtime, 1.6e9)  # 2020, not now
        self.assertTrue(self.is_ready(wanted))
        self.assertFalse((self.deps / "wheels").exists())

    def test_new_version_replaces_only_its_own_files(self):
        one = self.wheel("one")
        self.make(one, self.wheel("two"))
        kept = (self.site / "one/a.so").stat().st_ino
        self.make(one, self.wheel("two", "2.0"))
        self.assertEqual((self.site / "two/a.so").read_text(), "two 2.0 a.so")
        self.assertEqual((self.site / "one/a.so").stat().st_ino, kept)  # linked, not fetched again

    def test_wheel_of_another_hash_is_refused_and_the_old_files_stay(self):
        self.make(self.wheel("one"))
        wrong = self.wheel("one", "2.0") | {"sha256": "0" * 64}
        self.setup.python_with_pip = lambda: "/bin/true"  # a pip that fetches nothing new
        with self.assertRaisesRegex(SystemExit, "not the pinned file"):
            self.make(wrong)
        self.assertEqual((self.site / "one/a.so").read_text(), "one 1.0 a.so")

    def test_failed_download_says_what_to_do(self):
        missing = self.wheel("one")
        (self.deps / "wheels/one-1.0-py3-none-any.whl").unlink()
        self.setup.python_with_pip = lambda: "/bin/false"
        with self.assertRaisesRegex(SystemExit, "could not fetch one 1.0.*Without a network, put\n"):
            self.make(missing)

    def test_pattern_that_matches_nothing_is_an_error(self):
        with self.assertRaisesRegex(SystemExit, r"has no one/\*\.dll"):
            self.make(self.wheel("one") | {"files": ["one/*.dll"]})

    def test_toolkit_decides_what_is_wanted(self):
        wheels = [self.wheel("always", files_with_toolkit=["always/*.py"]), self.wheel("gpu", when="toolkit")]
        without = self.make(*wheels)
        self.assertEqual(list(without), ["always"])
        wheels = [self.wheel("always", files_with_toolkit=["always/*.py"]), self.wheel("gpu", when="toolkit")]
        with_toolkit = self.setup.wanted_wheels(wheels, True, use_system=False)
        self.assertFalse(self.is_ready(with_toolkit))
        self.make(*wheels, toolkit=True)
        self.assertTrue(self.is_ready(with_toolkit) and self.is_ready(without))
        self.assertTrue((self.site / "always/b.py").exists())

    def test_recommended_wheels_come_with_a_toolkit_and_when_asked_for(self):
        wheels = [self.wheel("always"), self.wheel("tests", when="recommended")]
        for toolkit, recommended, names in ((True, True, ["always", "tests"]), (True, False, ["always"]),
                                            (False, True, ["always"])):
            wanted = self.setup.wanted_wheels(wheels, toolkit, use_system=False, with_recommended=recommended)
            self.assertEqual(list(wanted), names)

    def test_missing_package_without_root_names_the_command(self):
        self.setup.os.geteuid, euid = lambda: 1000, self.setup.os.geteuid
        self.addCleanup(setattr, self.setup.os, "geteuid", euid)
        self.setup.shutil.which, which = lambda name: "/usr/bin/" + name, self.setup.shutil.which
        self.addCleanup(setattr, self.setup.shutil, "which", which)
        with self.assertRaisesRegex(SystemExit, "needs root for apt-get install libx-dev.*\n.*apt-get install -y"):
            self.setup.install_packages([{"name": "libx-dev"}])

    def test_absent_and_old_packages_are_missing(self):
        self.setup.output = lambda *command: "installed cmake 3.10-1\ninstalled make 4.3-4\nhalf-installed git 2\n"
        packages = [{"name": "cmake", "version": "3.25", "have": "sh"}, {"name": "make", "version": "4.3", "have": "sh"},
                    {"name": "git", "version": "2", "have": "/nowhere"}, {"name": "other", "version": "1", "have": "sh"}]
        self.assertEqual([p["name"] for p in self.setup.missing_packages(packages)], ["cmake", "git"])


if __name__ == "__main__":
    unittest.main()
