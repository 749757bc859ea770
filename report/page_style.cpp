#include "report/page.h"

namespace sotto::report {

// Fonts are the reader's own. Plotly colours its text inline, which only !important can bring under the theme.
std::string page_style() {
  return R"css(
:root {
  --paper: #ffffff; --ink: #1b1f24; --muted: #5a6470; --line: #dfe3e8; --soft: #f5f7f9; --accent: #1f5fa8;
  --alarm: #a4161a; --alarm-soft: #fdecec; --grid: #e8ebef;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171b; --ink: #e4e8ed; --muted: #9aa5b1; --line: #2c333b; --soft: #1b2026; --accent: #7fb2ee;
    --alarm: #ff8a8a; --alarm-soft: #3a1719; --grid: #2a3038;
  }
}
@media print {
  :root {
    --paper: #ffffff; --ink: #000000; --muted: #444444; --line: #bbbbbb; --soft: #f5f5f5; --accent: #1f5fa8;
    --alarm: #a4161a; --alarm-soft: #ffffff; --grid: #dddddd;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "DejaVu Sans", sans-serif;
}
main { max-width: 980px; margin: 0 auto; padding: 48px 28px 80px; }
h1 { font-size: 2rem; line-height: 1.25; margin: 0 0 28px; font-weight: 650; letter-spacing: -0.01em; }
h2 { font-size: 1.3rem; margin: 0 0 14px; font-weight: 650; }
h3 { font-size: 1rem; margin: 26px 0 8px; font-weight: 650; }
p { margin: 0 0 12px; max-width: 46rem; }
section { border-top: 1px solid var(--line); padding-top: 28px; margin-top: 36px; }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 0.86em; }
dd code, td code { overflow-wrap: anywhere; }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: 6px; padding: 14px 16px; overflow-x: auto; }
pre code { font-size: 0.82rem; line-height: 1.5; }
.kicker { color: var(--accent); font-size: 0.8rem; font-weight: 650; letter-spacing: 0.08em; text-transform: uppercase; margin: 0 0 6px; }
.note { color: var(--muted); font-size: 0.88rem; }
.lead { font-size: 1.16rem; line-height: 1.55; border-left: 3px solid var(--accent); padding-left: 18px; margin-bottom: 20px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 14px; }
.tile { background: var(--soft); border: 1px solid var(--line); border-radius: 8px; padding: 14px 18px; }
.tile p { margin: 0; }
.tile .label { color: var(--muted); font-size: 0.84rem; }
.tile .value { font-size: 1.75rem; font-weight: 650; line-height: 1.35; font-variant-numeric: tabular-nums; }
.banner { background: var(--alarm-soft); border: 2px solid var(--alarm); border-radius: 8px; padding: 18px 22px; margin: 0 0 32px; }
.banner h2 { color: var(--alarm); margin-bottom: 8px; }
.banner dl, .banner p { margin: 0; }
dl.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(270px, 1fr)); gap: 12px 32px; margin: 0 0 16px; }
dl.facts dt { color: var(--muted); font-size: 0.84rem; }
dl.facts dd { margin: 0; overflow-wrap: anywhere; }
dl.explained dt { font-weight: 650; }
dl.explained dd { margin: 0 0 12px; max-width: 46rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; margin: 4px 0 16px; min-width: 50%; }
th { text-align: left; color: var(--muted); font-weight: 600; font-size: 0.84rem; }
th, td { padding: 6px 22px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.whole { white-space: nowrap; }
@media (max-width: 1100px) { .books table { font-size: 0.82rem; } .books th, .books td { padding-right: 12px; } }
#ledger td:last-child, .hashes td { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 0.8rem; }
#numbers .scroll { width: min(94vw, 1560px); margin-left: calc(50% - min(47vw, 780px)); }
#numbers table { font-size: 0.84rem; margin-left: auto; margin-right: auto; }
#numbers th, #numbers td { padding-right: 14px; }
#numbers td { white-space: nowrap; }
figure { margin: 18px 0 26px; min-width: 0; }
figcaption { font-weight: 650; font-size: 0.95rem; margin-bottom: 4px; }
.plot { width: 100%; height: 340px; }
details summary { cursor: pointer; color: var(--muted); font-size: 0.86rem; }
.pair { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 8px 36px; align-items: start; }
#guarantee .pair { grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); margin-top: 18px; }
#guarantee .pair table { width: 100%; }
#guarantee .pair figure { margin-top: 0; }
@media (max-width: 760px) { .pair, #guarantee .pair { grid-template-columns: minmax(0, 1fr); } main { padding: 28px 16px 56px; } }
.plot text { fill: var(--ink) !important; }
.plot .xtick text, .plot .ytick text { fill: var(--muted) !important; }
.plot .gridlayer path { stroke: var(--grid) !important; }
.plot .zerolinelayer path { stroke: var(--line) !important; }
.plot .hoverlayer .hovertext text { fill: #ffffff !important; }
@media print {
  body { font-size: 11pt; }
  main { max-width: none; padding: 0; }
  figure, .tile, .banner, tr { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  .pair, #guarantee .pair { grid-template-columns: minmax(0, 1fr); }
  figure details { display: none; }
  #numbers .scroll { width: auto; margin-left: 0; }
  #numbers table { font-size: 6.5pt; }
  #numbers th, #numbers td { padding-right: 6px; white-space: normal; }
}
)css";
}

}  // namespace sotto::report
