"""Opens the fixtures' reports in headless Chromium and checks that every plot is really drawn.

Usage: screenshot_test.py REPORT_TESTS FOLDER    (77 = skipped: no browser)
REPORT_TESTS writes the pages into FOLDER; then the DOM after the scripts ran must hold, for each plot, traces whose paths
have points, and the pixels of each plot's area in the screenshot must not be flat. Two controls show that the checks can
fail: a page whose script was altered by one byte (its own content policy must refuse to run it), and blank paper.
"""
import html.parser, json, os, pathlib, re, shutil, struct, subprocess, sys, tempfile, zlib

WIDTH, HEIGHT = 1200, 6400


def chromium(browser, page, *arguments):
    with tempfile.TemporaryDirectory() as profile:
        done = subprocess.run(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
             "--force-device-scale-factor=1", f"--user-data-dir={profile}", "--virtual-time-budget=5000",
             f"--window-size={WIDTH},{HEIGHT}", *arguments, page.resolve().as_uri()],
            capture_output=True, timeout=100)
    if done.returncode != 0:
        sys.exit(f"{browser} failed on {page}:\n{done.stderr.decode()[-2000:]}")
    return done.stdout.decode()


class Plots(html.parser.HTMLParser):
    """For each element of class `plot`: the `d` of every path inside a trace, and the number of main SVGs."""

    VOID = {"meta", "link", "img", "br", "hr", "input", "source"}

    def __init__(self):
        super().__init__()
        self.stack, self.paths, self.svgs = [], {}, {}

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        classes = (attributes.get("class") or "").split()
        plot = self.stack[-1][1] if self.stack else None
        trace = bool(self.stack) and self.stack[-1][2]
        if "plot" in classes and (attributes.get("id") or "").startswith("plot_"):
            plot = attributes["id"]
            self.paths[plot], self.svgs[plot] = [], 0
        trace = trace or "trace" in classes
        if plot and "main-svg" in classes:
            self.svgs[plot] += 1
        if plot and trace and tag == "path":
            self.paths[plot].append(attributes.get("d") or "")
        if tag not in self.VOID:
            self.stack.append((tag, plot, trace))

    def handle_endtag(self, tag):
        while self.stack and self.stack.pop()[0] != tag:
            pass


def read_png(path):
    """(width, height, rows of bytes, bytes a pixel) of an 8-bit RGB or RGBA PNG."""
    data, at, packed = path.read_bytes(), 8, b""
    while at < len(data):
        (size,), kind = struct.unpack(">I", data[at:at + 4]), data[at + 4:at + 8]
        body = data[at + 8:at + 8 + size]
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", body)
            assert depth == 8 and colour in (2, 6) and not interlaced, (depth, colour, interlaced)
        elif kind == b"IDAT":
            packed += body
        at += 12 + size
    pixel = 3 if colour == 2 else 4
    raw, stride, rows, before = zlib.decompress(packed), width * pixel, [], bytearray(width * pixel)
    for y in range(height):
        begin = y * (stride + 1)
        kind, row = raw[begin], bytearray(raw[begin + 1:begin + 1 + stride])
        if kind == 2:
            row = bytearray((a + b) & 255 for a, b in zip(row, before))
        elif kind:
            for i in range(stride):
                left = row[i - pixel] if i >= pixel else 0
                if kind == 1:
                    guess = left
                elif kind == 3:
                    guess = (left + before[i]) // 2
                else:
                    corner = before[i - pixel] if i >= pixel else 0
                    estimate = left + before[i] - corner
                    guess = min((left, before[i], corner), key=lambda v: abs(estimate - v))
                row[i] = (row[i] + guess) & 255
        rows.append(row)
        before = row
    return width, height, rows, pixel


def saturated(rows, pixel, box):
    """Pixels inside the box that are coloured: lines are, paper, text and grid are grey."""
    left, top, right, bottom = box
    count = 0
    for row in rows[top:bottom]:
        for x in range(left, right):
            red, green, blue = row[x * pixel:x * pixel + 3]
            count += max(red, green, blue) - min(red, green, blue) > 60
    return count


def variance(rows, pixel, box):
    left, top, right, bottom = box
    values = [row[x * pixel + 1] for row in rows[top:bottom] for x in range(left, right, 2)]
    mean = sum(values) / len(values)
    return sum((v - mean) ** 2 for v in values) / len(values)


def boxes(browser, page, folder):
    """Where the plots are, by a copy of the page that writes it into the DOM (its policy removed so that it may)."""
    probe = folder / "probe.html"
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text(), count=1)
    script = ("<script>addEventListener('load', () => { const out = document.createElement('pre'); out.id = 'boxes';"
              "out.textContent = JSON.stringify([...document.querySelectorAll('.plot')].map((e) => { const r = "
              "e.getBoundingClientRect(); return [e.id, r.left, r.top, r.right, r.bottom]; }));"
              "document.body.append(out); });</script></body>")
    probe.write_text(text.replace("</body>\n</html>", script + "\n</html>"))
    found = re.search(r'<pre id="boxes">(.*?)</pre>', chromium(browser, probe, "--dump-dom"))
    probe.unlink()
    return {name: tuple(int(v) for v in box) for name, *box in json.loads(found.group(1))}


def drawn(browser, page):
    plots = Plots()
    # Plotly's own source holds markup in strings; only what stands before the scripts is the document.
    dom = chromium(browser, page, "--dump-dom")
    plots.feed(re.sub(r"<(script|style)\b.*?</\1>", "", dom, flags=re.S))
    return plots


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    browser = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
    if browser is None:
        print("skipped: no chromium here")
        sys.exit(77)
    run, roofline = folder / "medai", folder / "roofline"
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([program, "--gtest_filter=ReportPage.OfTheFixtureIsWritten:RooflinePage.IsWrittenWithItsJson", "--gtest_brief=1"],
                   check=True, env={**os.environ, "SOTTO_REPORT_FIXTURE": str(run), "SOTTO_ROOFLINE_FIXTURE": str(roofline)})
    problems = []
    for page, wanted in ((run / "report.html", 6), (folder / "medai.operator" / "report.html", 11), (roofline / "roofline.html", 2)):
        places = boxes(browser, page, folder)
        plots = drawn(browser, page)
        if len(places) != wanted or set(plots.paths) != set(places):
            problems.append(f"{page}: {len(places)} plots, {wanted} wanted")
        for name in places:
            if not plots.svgs.get(name):
                problems.append(f"{page}: {name} has no drawing")
            # "M0,0L1,1": at least a start and one stroke.
            if not any(len(re.findall(r"[LHVC]", d)) >= 1 for d in plots.paths.get(name, [])):
                problems.append(f"{page}: {name} has no trace with points")
    # Pixels for the released page only: the operator's differs in its numbers, and decoding a picture here costs seconds.
    page, picture = run / "report.html", folder / "report.png"
    chromium(browser, page, f"--screenshot={picture}")
    width, height, rows, pixel = read_png(picture)
    paper = (2, 10, 30, 200)
    if saturated(rows, pixel, paper) or variance(rows, pixel, paper) > 1:
        problems.append(f"{page}: the margin is not blank paper, so the pixel check proves nothing")
    for name, box in boxes(browser, page, folder).items():
        if box[3] > height or box[2] > width:
            problems.append(f"{page}: {name} at {box} lies outside the {width}×{height} picture")
        elif saturated(rows, pixel, box) < 300 or variance(rows, pixel, box) < 20:
            problems.append(f"{page}: {name} is blank in the picture: {saturated(rows, pixel, box)} coloured pixels, "
                            f"variance {variance(rows, pixel, box):.1f}")
    altered = folder / "altered.html"
    altered.write_text((run / "report.html").read_text().replace("const kRoles", "const  kRoles"))
    if any(drawn(browser, altered).svgs.values()):
        problems.append("a page whose script was altered still ran it: its content policy does not hold")
    altered.unlink()
    print("\n".join(problems) or "every plot is drawn")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
