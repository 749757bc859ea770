#pragma once
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace sotto::accountants {

// The cases of one family from data/reference.json: id, params, lower, upper and, where the peer has one, peer_rdp; or
// from data/reference_events.json, of other mechanisms and relations, without peer_rdp.
inline std::vector<nlohmann::json> reference_cases(const std::string& family,
                                                   const std::string& file = "reference.json") {
  std::ifstream in(std::string(SOTTO_SOURCE) + "/tests/accountants/data/" + file);
  const nlohmann::json all = nlohmann::json::parse(in);
  std::vector<nlohmann::json> found;
  for (const auto& each : all["cases"])
    if (each["family"] == family) found.push_back(each);
  return found;
}

}  // namespace sotto::accountants
