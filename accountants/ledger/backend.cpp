#include "accountants/ledger/backend.h"

namespace sotto::accountants {

std::string_view to_string(LedgerIndex index) {
  constexpr std::string_view names[] = {"by_run",      "one_charge_a_step", "one_reservation",
                                        "one_release", "by_kind",           "by_authority"};
  return names[static_cast<size_t>(index)];
}

}  // namespace sotto::accountants
