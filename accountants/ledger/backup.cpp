#include "accountants/ledger/backup.h"

#include "accountants/ledger.h"
#include "accountants/ledger/backend.h"
#include "accountants/ledger/database.h"
#include "accountants/ledger/new_file.h"
#include "base/error.h"

namespace sotto::accountants {
namespace {

void check(const LedgerLocation& ledger, const VerifyReport& found, const char* consequence) {
  if (!found.ok)
    throw Error(ErrorKind::data, cat(ledger.text(), " does not verify (", found.findings.front(), "); ", consequence));
}

// Page by page.
bool copy_file(const LedgerLocation& ledger, const LedgerLocation& to) {
  return put_in_place(to.file(), [&](const std::filesystem::path& unfinished) {
    Database(ledger.file(), Database::Access::read_only).copy_to(unfinished);
    check(ledger, Ledger::verify(unfinished), "it was not copied");
  });
}

// Row by row.
bool copy_rows(const LedgerLocation& ledger, const LedgerLocation& to) {
  check(ledger, Ledger::verify(ledger), "it was not copied");
  Head last{};
  const bool placed = create_backend(to, [&](LedgerBackend& copy) {
    const auto whole = read_ledger(ledger);
    while (const auto row = whole->next_row()) {
      last = {row->id, std::string(row->hash)};
      copy.append({row->id, "", std::string(row->payload), last.hash});
      if (row->signature) copy.sign(last, std::string(*row->signature));
    }
  });
  if (placed) check(to, Ledger::verify(to, last), "it is no copy: remove it");
  return placed;
}

}  // namespace

void back_up(const LedgerLocation& ledger, const LedgerLocation& to) {
  const auto refuse = [&](const char* suffix) {
    throw Error(ErrorKind::io, cat(to.text(), suffix,
                                   " is already there; a copy never goes over a ledger, which might hold charges that "
                                   "the copy does not: name another, or move that one away"));
  };
  if (!to.on_server() && std::filesystem::exists(to.file())) refuse("");
  if (!to.on_server() && has_log(to.file())) refuse("-wal");
  Ledger::open_existing(ledger);  // says what is wrong where it is no ledger, and takes over a log that a crash left
  if (!(ledger.on_server() || to.on_server() ? copy_rows(ledger, to) : copy_file(ledger, to))) refuse("");
}

}  // namespace sotto::accountants
