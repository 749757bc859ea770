#include "report/curve_page.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "report/figure.h"
#include "report/html.h"
#include "report/numbers.h"
#include "report/page.h"

namespace sotto::report {
namespace {

std::string shown(double epsilon, bool up) {
  if (!std::isfinite(epsilon)) return "no bound";
  return up ? significant_up(epsilon, 5) : significant_down(epsilon, 5);
}

Json line(const PrivacyCurve& curve, bool upper, const std::string& role) {
  Json x = Json::array(), y = Json::array(), text = Json::array();
  for (const PrivacyCurve::Point& point : curve.points) {
    const double epsilon = upper ? point.epsilon.upper : point.epsilon.lower;
    if (!std::isfinite(epsilon)) continue;
    x.push_back(point.delta);
    y.push_back(epsilon);
    text.push_back(cat(curve.accountant, ", δ = ", significant_up(point.delta, 3), "<br>ε ", upper ? "≤ " : "≥ ",
                       shown(epsilon, upper)));
  }
  return trace(cat(curve.accountant, upper ? ": at most" : ": at least"), role, "lines+markers", std::move(x),
               std::move(y), "%{text}", std::move(text));
}

bool known_from_below(const PrivacyCurve& curve) {
  for (const PrivacyCurve::Point& point : curve.points)
    if (point.epsilon.lower > 0) return true;
  return false;
}

Figure figure(const std::vector<PrivacyCurve>& curves) {
  Figure out{
      "curve",
      "ε over δ",
      "Epsilon against delta on a logarithmic axis, a line for each accountant.",
      "A plan is (ε, δ)-private at every point on or above a line “at most”. Where there is also a line “at least”, "
      "the exact value lies between the two, which may be too near each other to tell apart.",
      {},
      {"accountant", "δ", "ε at least", "ε at most"},
      {}};
  const std::vector<std::string> roles{"run", "baseline", "limit", "roof"};
  out.plot["traces"] = Json::array();
  size_t drawn = 0;
  for (const PrivacyCurve& curve : curves) {
    if (known_from_below(curve)) out.plot["traces"].push_back(line(curve, false, "reference"));
    out.plot["traces"].push_back(line(curve, true, roles[drawn++ % roles.size()]));
    for (const PrivacyCurve::Point& point : curve.points)
      out.rows.push_back({curve.accountant, significant_up(point.delta, 3), shown(point.epsilon.lower, false),
                          shown(point.epsilon.upper, true)});
  }
  out.plot["x"] = log_axis("δ", 1, "~e");
  out.plot["y"] = {{"title", "ε"}};
  out.height = 460;
  return out;
}

}  // namespace

std::string curve_page(const std::string& title, const std::vector<std::pair<std::string, std::string>>& facts,
                       const std::vector<PrivacyCurve>& curves) {
  const std::vector<Figure> figures{figure(curves)};
  Html terms;
  for (const auto& [term, value] : facts) terms += html("<div><dt>", term, "</dt><dd>", value, "</dd></div>");
  const Html body = html("<main>\n<header><p class=\"kicker\">Privacy accounting</p><h1>", title,
                         "</h1></header>\n<dl class=\"facts\">", terms, "</dl>\n", show(figures.front()), "</main>\n");
  return document(title, body, figures);
}

}  // namespace sotto::report
