#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "accountants/ledger.h"
#include "accountants/ledger/authority.h"
#include "accountants/ledger/claim_sums.h"
#include "accountants/ledger/epsilon_by_steps.h"
#include "accountants/ledger/index_check.h"
#include "accountants/ledger/line.h"
#include "accountants/ledger/shared_rules.h"

namespace sotto::accountants {

// A signature that is said to be of a member's key.
struct ClaimedSignature {
  Head head;
  std::string by, public_key, value;
  bool holds() const;
};

// Follows the rows of a ledger from the first and notes what an honest program cannot have written.
class Replay {
 public:
  explicit Replay(VerifyReport& report) : report_(report) {}

  // The next row, inspected.
  void row(const Line& line);
  // After the last row: what is still open, and the indexes of the ledger that the rows came from.
  void end(LedgerReader& ledger);

  // Work that waits for nothing, so that another thread may do it while rows are followed.
  // Signatures that rows have had since the last call: check them, and note() those that do not hold.
  std::vector<ClaimedSignature> take_signatures() { return std::exchange(signatures_, {}); }
  // What a plain charge adds to the sums that the indexes are held to; give them to add() before end().
  void add_charge(const Line& line, IndexCheck::Sums& sums) const;
  void add(const IndexCheck::Sums& sums);

  void note(int64_t id, const std::string& what) { note(cat_row(id, what)); }
  void note(const std::string& what);

 private:
  struct Run {
    RunEntry entry;
    Scope scope;  // of the entry
    int64_t reserved, charged;
    std::optional<int64_t> closed_at;
    std::string by;
    const RdpCurve* curve;          // of a step, at the filter's orders
    EpsilonBySteps* epsilon;        // null where the allotment says it
    const RunAllotment* allotment;  // null where every step has an ε of its own
    // The key that was found to be allowed to charge it, until when, and under which row of the authority.
    std::string allowed_by = {};
    int64_t allowed_until = 0, allowed_under = -1;
  };
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };

  static std::string cat_row(int64_t id, const std::string& what);
  void plain_charge(const Line& line);
  void other(const Line& line);
  void index(const Line& line, const nlohmann::json& payload);
  void meaning(int64_t id, const nlohmann::json& payload);
  void genesis(int64_t id, const nlohmann::json& payload);
  void cap(int64_t id, const nlohmann::json& payload);
  void reserve(int64_t id, const nlohmann::json& payload);
  void release(int64_t id, const nlohmann::json& payload, Run& run);
  void grant(int64_t id);
  void charge(const Line& line, Run& run);
  bool is_allowed(const Line& charge, const Run& run) const;
  void check_cap(int64_t id, const Claim& added);
  void check_epsilon(int64_t id, double said, Run& run);
  const RunAllotment* allotment(int64_t id, const nlohmann::json& payload, const RunEntry& entry, int64_t reserved);
  void check_time(int64_t id, std::string_view at);
  bool check_writer(int64_t id, std::string_view kind, std::string_view by, std::string_view run_by);
  void check_signature(const Line& line, std::string_view by);
  Run* find(int64_t id, std::string_view run_id);

  VerifyReport& report_;
  IndexCheck indexes_;
  IndexCheck::Sums sums_{};
  std::vector<ClaimedSignature> signatures_;  // not taken yet
  std::vector<double> filter_orders_;
  std::map<std::string, DataSetCap> caps_;
  std::unordered_map<std::string, Run, Hash, std::equal_to<>> runs_;
  // What runs of one event, relation, accountant and delta have in common.
  struct Cost {
    RdpCurve curve;
    EpsilonBySteps epsilon;
  };
  std::map<std::tuple<std::string, std::string_view, std::string, double>, Cost> costs_;
  // By event, relation, delta, cap and the steps planned and reserved.
  std::map<std::tuple<std::string, std::string_view, double, double, int64_t, int64_t>, RunAllotment> allotments_;
  std::optional<ClaimSums> claims_;  // of runs_, once there is one
  KnownPeople people_;
  Authority authority_;
  int64_t authority_row_ = 0;     // the last that changed it
  bool time_is_ordered_ = false;  // format 1 wrote the clock's time
  std::string at_;                // of the last row
  int64_t now_ = 0;               // the same in seconds
  std::string unsigned_by_;       // whose rows wait for a signature
  int64_t unsigned_since_ = 0;    // the first of them, or 0
};

}  // namespace sotto::accountants
