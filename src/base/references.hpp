// SPDX-License-Identifier: Apache-2.0
//
// The arithmetic of references, shared by all trackers: one table says which counter a state adds to.
#pragma once

#include "waybill/progress.hpp"

namespace waybill::internal {

/// Stored: numbers never change.
inline constexpr int n_reference_states = 9;

/// The counter of a state.
int64_t& counter_of(ReferenceAccounts& accounts, ReferenceState state) noexcept;

/// Adds `n` references in `state`, total included.
void add_references(ReferenceAccounts& accounts, ReferenceState state, int64_t n) noexcept;

/// The account of a run that was to settle `owed` references when it began: `settled` are those that it has, by state.
ReferenceAccounts run_account(const ReferenceAccounts& settled, uint64_t owed) noexcept;

/// A phase that moves references, not items.
inline bool switches_references(Phase phase) noexcept { return phase == Phase::cutover || phase == Phase::rollback; }

}  // namespace waybill::internal
