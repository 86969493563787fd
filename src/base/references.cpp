// SPDX-License-Identifier: Apache-2.0
//
// The words and the arithmetic of references, and what a Tracker that keeps none says.
#include "base/references.hpp"

#include <algorithm>
#include <array>

#include "waybill/tracker.hpp"

namespace waybill {
namespace {

// Indexed by the enumerators' numbers, which are frozen.
constexpr std::array state_words = {"original", "pending",  "intended", "updated", "restored",
                                    "conflict", "failed",   "vanished", "excluded"};
constexpr std::array journal_words = {"intended", "applied", "not_applied", "conflict", "restored"};

[[noreturn]] void refuse() {
  throw Error(ErrorCode::unimplemented, ErrorClass::unsupported, "this tracker keeps no references: it has no cutover");
}

}  // namespace

const char* to_string(ReferenceState state) noexcept {
  const auto index = static_cast<size_t>(state);
  return index < state_words.size() ? state_words[index] : "unknown";
}

const char* to_string(JournalState state) noexcept {
  const auto index = static_cast<size_t>(state);
  return index < journal_words.size() ? journal_words[index] : "unknown";
}

std::optional<ReferenceState> reference_state_from(std::string_view word) noexcept {
  const auto found = std::find(state_words.begin(), state_words.end(), word);
  if (found == state_words.end()) return std::nullopt;
  return static_cast<ReferenceState>(found - state_words.begin());
}

std::vector<std::optional<ReferenceRecord>> Tracker::lookup_references(std::span<const ReferenceId>) { refuse(); }
ReferenceRecordPage Tracker::scan_references(const ReferenceQuery&, const std::string&, size_t) { refuse(); }
std::vector<std::optional<JournalRecord>> Tracker::lookup_journal(std::span<const ReferenceId>) { refuse(); }
std::vector<JournalRecord> Tracker::journal(const ReferenceId&) { refuse(); }
std::optional<CutoverPlanRecord> Tracker::cutover_plan() { refuse(); }

namespace internal {

int64_t& counter_of(ReferenceAccounts& accounts, ReferenceState state) noexcept {
  switch (state) {
    case ReferenceState::original:
      return accounts.original;
    case ReferenceState::pending:
      return accounts.pending;
    case ReferenceState::intended:
      return accounts.intended;
    case ReferenceState::updated:
      return accounts.updated;
    case ReferenceState::restored:
      return accounts.restored;
    case ReferenceState::conflict:
      return accounts.conflict;
    case ReferenceState::failed:
      return accounts.failed;
    case ReferenceState::vanished:
      return accounts.vanished;
    case ReferenceState::excluded:
      return accounts.excluded;
  }
  return accounts.original;
}

void add_references(ReferenceAccounts& accounts, ReferenceState state, int64_t n) noexcept {
  counter_of(accounts, state) += n;
  accounts.total += n;
}

ReferenceAccounts run_account(const ReferenceAccounts& settled, uint64_t owed) noexcept {
  ReferenceAccounts account = settled;
  account.total = std::max(static_cast<int64_t>(owed), settled.total);
  account.pending += account.total - settled.total;  // whatever it was settled in, the states add up
  return account;
}

}  // namespace internal
}  // namespace waybill
