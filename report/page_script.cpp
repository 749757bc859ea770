#include "report/page.h"

namespace sotto::report {

// Colours are middle tones that stand out on light and dark paper; the rest of the theme is the stylesheet's.
std::string page_script() {
  return R"js(
'use strict';
const kRoles = {
  run: { color: '#2f7bd1', width: 2.2, dash: 'solid' },
  baseline: { color: '#d97a2b', width: 1.8, dash: 'solid' },
  limit: { color: '#c8373d', width: 1.6, dash: 'dash' },
  reference: { color: '#8a94a0', width: 1.2, dash: 'dot' },
  roof: { color: '#8a94a0', width: 2, dash: 'solid' },
  hollow: { color: '#d97a2b', width: 1.8, dash: 'solid', symbol: 'circle-open' },
};
const kFont = { family: 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif', size: 12.5 };

function traceOf(trace) {
  const { color, width, dash, symbol } = kRoles[trace.role];
  // Bars are of ratios: from 1 to x.
  const shape = trace.mode === 'bars'
    ? { type: 'bar', orientation: 'h', textposition: 'none', marker: { color }, base: 1, x: trace.x.map((x) => x - 1) }
    : { type: 'scatter', mode: trace.mode, x: trace.x, line: { color, width, dash },
        marker: { color, symbol, size: trace.mode === 'markers' ? 8 : 6, line: { width: symbol ? 1.6 : 0 } } };
  return {
    ...shape, name: trace.name, y: trace.y, text: trace.text,
    hoverinfo: trace.hover ? undefined : 'skip',
    hovertemplate: trace.hover ? trace.hover + '<extra></extra>' : undefined,
    hoverlabel: { bgcolor: color, bordercolor: color, font: { ...kFont, color: '#ffffff' } },
  };
}

function axisOf(axis) {
  return {
    title: { text: axis.title, standoff: 10, font: kFont }, range: axis.range, tickformat: axis.format || undefined,
    zeroline: false, automargin: true, showline: false, ticks: '', fixedrange: false,
    ...(axis.type ? { type: axis.type, dtick: axis.dtick } : {}),
    ...(axis.order ? { type: 'category', categoryorder: 'array', categoryarray: axis.order, dtick: 1 } : {}),
  };
}

const plots = JSON.parse(document.getElementById('figures').textContent);
for (const plot of plots) {
  Plotly.newPlot('plot_' + plot.id, plot.traces.map(traceOf), {
    xaxis: axisOf(plot.x), yaxis: axisOf(plot.y), font: kFont,
    margin: { l: 56, r: 24, t: 36, b: 46 }, paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)',
    showlegend: plot.traces.length > 1, hovermode: 'closest', barmode: 'overlay', bargap: 0.35,
    legend: { orientation: 'h', x: 0, xanchor: 'left', y: 1.02, yanchor: 'bottom', bgcolor: 'rgba(0,0,0,0)' },
  }, { displayModeBar: false, responsive: true });
}

// Paper is narrower than a screen, and an SVG does not reflow by itself.
addEventListener('beforeprint', () => plots.forEach((plot) => Plotly.relayout('plot_' + plot.id, { width: 640, height: plot.height || 300 })));
addEventListener('afterprint', () => plots.forEach((plot) => Plotly.relayout('plot_' + plot.id, { width: null, height: null, autosize: true })));
)js";
}

}  // namespace sotto::report
