#include "accountants/accountant.h"

#include "accountants/rdp/rdp_accountant.h"
#include "base/error.h"

namespace sotto::accountants {

void Accountant::compose(const Event& event, int64_t count) {
  validate(event);
  require(count >= 0 && count <= int64_t{1} << 53, cat("count must be between 0 and 2^53, got ", count));
  if (!supports(event, relation_))
    throw Error(ErrorKind::configuration,
                cat("the accountant ", name(), " has no bound for ", to_json(event), " under ", to_string(relation_),
                    "; choose another relation or accountant"));
  if (count > 0) add(event, count);
}

double Accountant::epsilon(double delta) const {
  require(delta >= 0 && delta < 1, cat("delta must be at least 0 and below 1, got ", delta));
  return epsilon_at(delta);
}

double Accountant::delta(double epsilon) const {
  require(epsilon >= 0, cat("epsilon must be at least 0, got ", epsilon));
  return delta_at(epsilon);
}

std::vector<std::string> accountant_names() {
  return {"rdp"};
}

std::unique_ptr<Accountant> make_accountant(std::string_view name, NeighbouringRelation relation) {
  if (name == "rdp") return std::make_unique<RdpAccountant>(relation);
  std::string known;
  for (const auto& each : accountant_names()) known += (known.empty() ? "" : ", ") + each;
  throw Error(ErrorKind::configuration, cat("unknown accountant \"", name, "\"; known: ", known));
}

}  // namespace sotto::accountants
