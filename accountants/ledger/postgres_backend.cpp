#include "accountants/ledger/postgres_backend.h"

#include <sodium.h>

#include <chrono>

#include "accountants/ledger/postgres_connection.h"
#include "accountants/ledger/postgres_schema.h"
#include "base/error.h"
#include "base/fault_point.h"
#include "base/hash.h"

namespace sotto::accountants {
namespace {

constexpr auto kPatience = std::chrono::seconds(30);
constexpr size_t kMostWaiting = 4096;  // rows that wait for the commit; a copy of a large ledger sends more by and by

// ARRAY['…', …] as PostgreSQL reads it from text.
class TextArray {
 public:
  void add(std::string_view text) {
    text_ += text_.size() > 1 ? ",\"" : "\"";
    for (const char c : text) {
      if (c == '"' || c == '\\') text_ += '\\';
      text_ += c;
    }
    text_ += '"';
  }
  std::string take() { return std::exchange(text_, "{") + "}"; }

 private:
  std::string text_ = "{";
};

std::string array_of(const std::vector<std::string>& texts) {
  TextArray array;
  for (const std::string& text : texts) array.add(text);
  return array.take();
}

std::vector<LedgerRow> rows_in(const PostgresResult& result) {
  std::vector<LedgerRow> rows;
  for (int row = 0; row < result.rows(); ++row)
    rows.push_back({result.integer(row, 0), result.text(row, 1), result.text(row, 2), result.text(row, 3)});
  return rows;
}

std::optional<LedgerRow> first_in(const PostgresResult& result) {
  auto rows = rows_in(result);
  if (rows.empty()) return std::nullopt;
  return std::move(rows.front());
}

std::string random_token() {
  std::array<uint8_t, 16> bytes;
  randombytes_buf(bytes.data(), bytes.size());
  return to_hex(bytes.data(), bytes.size());
}

class PostgresBackend final : public LedgerBackend {
 public:
  explicit PostgresBackend(const LedgerLocation& location)
      : connection_(location, PostgresConnection::Access::read_write) {}

  PostgresConnection& connection() { return connection_; }
  const std::string& name() const override { return connection_.location().text(); }

  // Read committed: under the one lock nobody else writes, so every statement sees the same rows, and the newest.
  // (Serializable would let two writers begin, and abort one of them at its end.)
  void begin() override { begin_locked("SELECT pg_advisory_xact_lock(1936684148, 'entry'::regclass::oid::integer)"); }
  void begin_locked(const char* lock) {
    start(cat("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; ", lock));
    token_ = random_token();
  }

  void commit() override {
    const std::optional<Head> last = appended_;
    try {
      send("COMMIT");
    } catch (const Error&) {
      if (!connection_.lost() || !last || !has_landed(*last)) throw;
    }
    if (last) newest_ = *last;
    over();
  }

  void roll_back() noexcept override {
    over();
    if (connection_.lost()) return;  // the server rolls back by itself
    try {
      connection_.run("ROLLBACK");
    } catch (const Error&) {
      // The error that brought us here is the one to see.
    }
  }

  void begin_read() override { start("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); }
  void end_read() noexcept override { roll_back(); }

  void append(const LedgerRow& row) override {
    if (rows_ >= kMostWaiting) send(nullptr);
    if (rows_++ == 0) first_row_ = row.id;
    payloads_.add(row.payload);
    hashes_.add(row.hash);
    appended_ = Head{row.id, row.hash};
  }

  void sign(const Head& last, const std::string& signature) override {
    gather_rows();
    waiting_.push_back({"INSERT INTO signature (id, value) VALUES ($1, $2)", {std::to_string(last.id), signature}});
  }

  std::optional<LedgerRow> last_row() override {
    auto last = first_in(read({"SELECT id, kind, payload, hash FROM entry ORDER BY id DESC LIMIT 1"}));
    if (last && !inside_) newest_ = Head{last->id, last->hash};
    return last;
  }
  std::optional<LedgerRow> last_row_of(const std::string& run_id) override {
    return first_in(
        read({"SELECT id, kind, payload, hash FROM entry WHERE run_id = $1 ORDER BY id DESC LIMIT 1", {run_id}}));
  }
  std::optional<LedgerRow> row(int64_t id) override {
    return first_in(read({"SELECT id, kind, payload, hash FROM entry WHERE id = $1", {std::to_string(id)}}));
  }
  std::optional<LedgerRow> reservation(const std::string& run_id) override {
    return first_in(
        read({"SELECT id, kind, payload, hash FROM entry WHERE run_id = $1 AND kind = 'reserve'", {run_id}}));
  }
  std::vector<LedgerRow> rows_after(Rows about, int64_t id) override {
    // The kinds stand there in letters: a partial index is taken only for a condition that can be read.
    const char* sql = about == Rows::authority ? "SELECT id, kind, payload, hash FROM entry WHERE kind IN ('owner', "
                                                 "'member', 'grant') AND id > $1 ORDER BY id"
                      : about == Rows::caps
                          ? "SELECT id, kind, payload, hash FROM entry WHERE kind = 'cap' AND id > $1 ORDER BY id"
                      : about == Rows::releases
                          ? "SELECT id, kind, payload, hash FROM entry WHERE kind = 'release' AND id > $1 ORDER BY id"
                          : "SELECT id, kind, payload, hash FROM entry WHERE kind = 'reserve' AND id > $1 ORDER BY id";
    return rows_in(read({sql, {std::to_string(id)}}));
  }
  std::vector<LedgerRow> rows(const std::string& run_id) override {
    if (run_id.empty()) return rows_in(read({"SELECT id, kind, payload, hash FROM entry ORDER BY id"}));
    return rows_in(read({"SELECT id, kind, payload, hash FROM entry WHERE run_id = $1 ORDER BY id", {run_id}}));
  }

  std::vector<RunProgress> progress(const std::vector<std::string>& run_ids) override {
    // One question for all of them: the server may be far away.
    const PostgresResult found = read(
        {"SELECT charge.last_step, charge.id, charge.kind, charge.payload, charge.hash, "
         "(SELECT payload::jsonb ->> 'at' FROM entry WHERE entry.run_id = wanted.run_id AND kind = 'release') "
         "FROM unnest($1::text[]) WITH ORDINALITY AS wanted (run_id, place) "
         "LEFT JOIN LATERAL (SELECT last_step, id, kind, payload, hash FROM entry WHERE entry.run_id = wanted.run_id "
         "AND kind = 'charge' ORDER BY last_step DESC LIMIT 1) AS charge ON true ORDER BY place",
         {array_of(run_ids)}});
    std::vector<RunProgress> all;
    for (int row = 0; row < found.rows(); ++row) {
      RunProgress& run = all.emplace_back();
      run.released_at = found.text(row, 5);
      if (found.integer(row, 1) == 0) continue;
      run.charged_steps = found.integer(row, 0);
      run.last_charge = LedgerRow{found.integer(row, 1), found.text(row, 2), found.text(row, 3), found.text(row, 4)};
    }
    return all;
  }

  std::optional<std::string> signature(int64_t id) override {
    const PostgresResult found = read({"SELECT value FROM signature WHERE id = $1", {std::to_string(id)}});
    if (found.rows() == 0) return std::nullopt;
    return found.text(0, 0);
  }

 private:
  // The server may have been started again since the last transaction; within one, the lock went with the connection.
  void start(const std::string& sql) {
    if (connection_.lost()) come_back();
    inside_ = true;
    try {
      connection_.run(sql);
    } catch (const Error&) {
      roll_back();
      throw;
    }
  }

  PostgresResult read(const PostgresStatement& statement) {
    if (!inside_ && connection_.lost()) come_back();
    if (rows_ > 0 || !waiting_.empty()) send(nullptr);
    return connection_.query(statement);
  }

  // The rows since the last signature as one statement: the triggers look at them together.
  void gather_rows() {
    if (std::exchange(rows_, 0) == 0) return;
    waiting_.push_back(
        {"INSERT INTO entry (id, payload, hash, commit_token) SELECT $1::bigint + place - 1, payload, "
         "hash, $4 FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS row (payload, hash, place)",
         {std::to_string(first_row_), payloads_.take(), hashes_.take(), token_}});
  }

  void send(const char* last) {
    gather_rows();
    std::vector<PostgresStatement> statements;
    statements.swap(waiting_);
    connection_.run_all(statements, last);
  }

  void over() {
    inside_ = false;
    rows_ = 0, payloads_.take(), hashes_.take();
    waiting_.clear();
    appended_.reset();
  }

  // To the same ledger, not to one that was set back: a standby that took over without the last rows, an old copy.
  void come_back() {
    connection_.reconnect();
    if (!newest_) return;
    const PostgresResult there =
        connection_.query({"SELECT hash FROM entry WHERE id = $1", {std::to_string(newest_->id)}});
    if (there.rows() == 0 || there.view(0, 0) != newest_->hash)
      throw Error(
          ErrorKind::data,
          cat(name(), " no longer has row ", newest_->id, ", which it confirmed before the connection was lost: ",
              "the server was set back; run `sotto ledger verify` against a head that was kept elsewhere"));
  }

  // After a connection that was lost on the way to a commit. Whoever holds the lock knows that the transaction before
  // is over; the token tells its rows from equal ones that another process may have written since.
  bool has_landed(const Head& last) {
    const std::string token = token_;
    const auto end = std::chrono::steady_clock::now() + kPatience;
    for (;;) {
      try {
        come_back();
        begin();
        const PostgresResult found =
            connection_.query({"SELECT 1 FROM entry WHERE id = $1 AND hash = $2 AND commit_token = $3",
                               {std::to_string(last.id), last.hash, token}});
        roll_back();
        return found.rows() == 1;
      } catch (const Error& error) {
        roll_back();
        // The new connection may be lost as well, and looking changes nothing.
        if (connection_.lost() && std::chrono::steady_clock::now() < end) continue;
        throw Error(error.kind(), cat("the connection to ", name(), " was lost while row ", last.id,
                                      " was being written, and whether it was could not be found out (", error.what(),
                                      "). If it was, it counts as spent; whoever goes on finds it in the ledger"));
      }
    }
  }

  PostgresConnection connection_;
  // Of the next message: statements, and the rows that come after them.
  std::vector<PostgresStatement> waiting_;
  size_t rows_ = 0;
  int64_t first_row_ = 0;
  TextArray payloads_, hashes_;
  std::optional<Head> appended_, newest_;  // in this transaction; that this object knows to be durable
  std::string token_;
  bool inside_ = false;  // a transaction
};

}  // namespace

bool has_postgres() {
  return true;
}

std::unique_ptr<LedgerBackend> open_postgres(const LedgerLocation& location) {
  auto backend = std::make_unique<PostgresBackend>(location);
  if (look_for_ledger(backend->connection()) != PostgresPlace::ledger)
    throw Error(ErrorKind::io, cat("there is no ledger ", location.text(), "; check ledger.path"));
  if (const auto difference = postgres_difference(backend->connection()); !difference.empty())
    throw Error(ErrorKind::data, cat(location.text(), " was altered: ", difference, "; restore a backup"));
  return backend;
}

bool create_postgres(const LedgerLocation& location, const std::function<void(LedgerBackend&)>& fill) {
  PostgresBackend backend(location);
  if (look_for_ledger(backend.connection()) == PostgresPlace::ledger) return false;
  // Of two processes at once, the second finds the first one's.
  backend.begin_locked("SELECT pg_advisory_xact_lock(1936684148, 0)");
  try {
    const PostgresPlace place = look_for_ledger(backend.connection());
    if (place == PostgresPlace::ledger) {
      backend.roll_back();
      return false;
    }
    make_postgres_tables(backend.connection(), place);
    fill(backend);
    fault_point("ledger.create.before_commit");
    backend.commit();
  } catch (...) {
    backend.roll_back();
    throw;
  }
  return true;
}

}  // namespace sotto::accountants
