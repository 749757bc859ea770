#include "accountants/ledger/shared_rules.h"

#include "accountants/rdp/conversion.h"
#include "base/error.h"

namespace sotto::accountants {

void check_same_people(const RunEntry& known, const RunEntry& entry) {
  require(known.data_set == entry.data_set || known.data_hash != entry.data_hash, "the content ", entry.data_hash,
          " is in the ledger as data set ", known.data_set, ", not ", entry.data_set,
          "; the same people must keep their name");
  if (known.data_set != entry.data_set) return;
  require(known.unit_of_privacy == entry.unit_of_privacy && known.relation == entry.relation, "the data set ",
          entry.data_set, " is accounted per ", known.unit_of_privacy, " under ", to_string(known.relation),
          "; a run per ", entry.unit_of_privacy, " under ", to_string(entry.relation), " cannot be added to it");
}

void CapFilter::add(const RdpCurve& step, int64_t steps) {
  for (size_t i = 0; i < total_.size(); ++i)
    if (steps > 0) total_[i] += static_cast<double>(steps) * step[i];
  ++added_;
}

double CapFilter::epsilon(double delta) const {
  RdpCurve raised = total_;
  for (double& each : raised) each *= 1 + static_cast<double>(2 + added_) * 2.3e-16;
  return epsilon_from_rdp(orders_, raised, delta / static_cast<double>(orders_.size()));
}

}  // namespace sotto::accountants
