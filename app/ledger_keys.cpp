#include "accountants/ledger.h"
#include "accountants/ledger/head_file.h"
#include "accountants/ledger/signing_key.h"
#include "app/command.h"
#include "app/ledger.h"
#include "base/error.h"

namespace sotto::app {
namespace {

using accountants::Ledger;
using accountants::LedgerLocation;
using accountants::SigningKey;

struct KeyOptions {
  std::string ledger, key, public_key, name, role = "analyst", out;
  accountants::Scope scope;
  bool json = false;
};

int make_key(const KeyOptions& options) {
  const SigningKey key = SigningKey::generate();
  key.write(options.out);
  print(options.json, {{"key", options.out}, {"public_key", key.public_key()}, {"id", key.id()}},
        cat("wrote ", options.out, " (secret: keep it to yourself) and ", options.out, ".pub; the key's id is ",
            key.id()));
  return 0;
}

int init(const KeyOptions& options) {
  const LedgerLocation location = LedgerLocation::parse(options.ledger);
  if (options.key.empty()) {
    const Ledger ledger = Ledger::open(location);
    print(options.json, {{"ledger", location.text()}, {"signed", ledger.authority().has_owner()}},
          ledger.authority().has_owner()
              ? cat(location.text(), " is a ledger with signed rows")
              : cat(location.text(), " is a ledger without an owner: its rows are chained, but not signed"));
    return 0;
  }
  const SigningKey key = SigningKey::read(options.key);
  Ledger ledger = Ledger::open(location);
  ledger.sign_with(key);
  ledger.set_owner(options.name);
  print(options.json,
        {{"ledger", location.text()}, {"signed", true}, {"owner", options.name}, {"public_key", key.public_key()}},
        cat(options.name, " owns ", location.text(), "; from here on every row is signed"));
  return 0;
}

int admit(const KeyOptions& options) {
  Ledger ledger = open_to_write(options.ledger, options.key);
  const accountants::Member member{options.name, accountants::read_public_key(options.public_key),
                                   accountants::role_from_string(options.role), options.scope};
  ledger.admit(member);
  print(options.json,
        {{"name", member.name},
         {"role", options.role},
         {"id", accountants::key_id(member.public_key)},
         {"scope", accountants::to_fields(member.scope)}},
        cat(member.name, " (", accountants::key_id(member.public_key), ") is ", options.role, " for ",
            accountants::to_text(member.scope)));
  return 0;
}

int head(const KeyOptions& options) {
  const auto found = Ledger::open_existing(LedgerLocation::parse(options.ledger)).signed_head();
  if (!options.out.empty()) accountants::write_head(options.out, found);
  print(options.json,
        {{"id", found.head.id},
         {"head_hash", found.head.hash},
         {"public_key", found.public_key},
         {"signature", found.signature}},
        cat("row ", found.head.id, ", ", found.head.hash,
            found.signature.empty() ? "\nnot signed: the ledger has no owner" : "\nsigned by " + found.public_key));
  return 0;
}

}  // namespace

Ledger open_to_write(const std::string& path, const std::string& key) {
  Ledger ledger = Ledger::open_existing(LedgerLocation::parse(path));
  if (!key.empty()) ledger.sign_with(SigningKey::read(key));
  return ledger;
}

Ledger open_to_tell(const std::string& path) {
  const LedgerLocation location = LedgerLocation::parse(path);
  refuse_unless_it_holds(Ledger::verify(location), location);
  return Ledger::open_existing(location);
}

void refuse_unless_it_holds(const accountants::VerifyReport& found, const LedgerLocation& location) {
  if (found.ok) return;
  const size_t others = found.findings.size() - 1;
  throw Error(ErrorKind::data,
              cat(location.text(), " was altered, so none of its figures is shown: ", found.findings.front(),
                  others ? cat(" (and ", others, " more)") : "", "; run `sotto ledger verify` and restore a backup"));
}

void add_scope(CLI::App& command, accountants::Scope& scope) {
  command.add_option("--organisation", scope.organisation, "path, e.g. holding/clinic");
  command.add_option("--data-set", scope.data_set, "name in the schema");
  command.add_option("--purpose", scope.purpose, "path, e.g. research/readmission");
  command.add_option("--team", scope.team, "path, e.g. cardiology/ml");
  command.add_option("--group", scope.group, "people, as a path, e.g. adults/over65");
}

void add_ledger_keys(CLI::App& ledger, Action& chosen) {
  auto options = std::make_shared<KeyOptions>();
  const auto add = [&](const char* name, const char* what, int (*act)(const KeyOptions&)) {
    return add_verb(ledger, chosen, options, name, what, act);
  };
  auto* key = add("key", "make a key pair to sign rows with", make_key);
  key->footer("Examples:\n  sotto ledger key owner.key");
  key->add_option("FILE", options->out, "new file for the secret half; the public half goes to FILE.pub")->required();

  auto* start = add("init", "make a ledger, or give one an owner", init);
  start->footer("Examples:\n  sotto ledger init runs/ledger.sqlite --owner-key owner.key --owner Olga");
  start->add_option("LEDGER", options->ledger, "ledger file")->required();
  auto* owner = start->add_option("--owner-key", options->key, "the owner's key file; rows are signed from then on");
  start->add_option("--owner", options->name, "the owner's name")->needs(owner);
  owner->needs("--owner");

  auto* member = add("member", "let a key spend or own, or revoke it; takes an owner's key", admit);
  member->footer(
      "Examples:\n  sotto ledger member runs/ledger.sqlite --public-key ann.key.pub --name Ann --team cardiology --key "
      "owner.key\n"
      "  sotto ledger member runs/ledger.sqlite --public-key ann.key.pub --name Ann --role revoked --key owner.key");
  member->add_option("LEDGER", options->ledger, "ledger file")->required();
  member->add_option("--key", options->key, "your key file (or SOTTO_LEDGER_KEY)");
  member->add_option("--public-key", options->public_key, "the member's .pub file")->required();
  member->add_option("--name", options->name, "who holds it")->required();
  member->add_option("--role", options->role, "owner, analyst or revoked")->capture_default_str();
  add_scope(*member, options->scope);

  auto* last = add("head", "the last row and its signature, to be kept elsewhere", head);
  last->footer("Examples:\n  sotto ledger head runs/ledger.sqlite --out /safe/place/head.json");
  last->add_option("LEDGER", options->ledger, "ledger file")->required();
  last->add_option("--out", options->out, "file for it");
}

}  // namespace sotto::app
