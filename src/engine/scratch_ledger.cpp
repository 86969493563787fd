// SPDX-License-Identifier: Apache-2.0

#include "engine/scratch_ledger.hpp"

#include <cstdlib>

#include "waybill/connectors.hpp"

namespace waybill::internal {
namespace {

constexpr uint64_t the_run = 1;

std::filesystem::path new_folder() {
  std::error_code error;
  const std::filesystem::path parent = std::filesystem::temp_directory_path(error);
  std::string name = (parent / "waybill-plan-XXXXXX").string();
  if (error || ::mkdtemp(name.data()) == nullptr) {
    throw Error(ErrorCode::unavailable, ErrorClass::local_io,
                "what does not fit into memory is sorted in a temporary folder, and none can be made (" + printable(name) +
                    "); set TMPDIR");
  }
  return name;
}

}  // namespace

ScratchLedger::ScratchLedger() : folder_(new_folder()) {
  try {
    tracker_ = open_tracker((folder_ / "plan.db").string(), OpenMode::create);
    MigrationInfo info;
    info.fingerprint = "plan";
    tracker_->bind(info);
    epoch_ = tracker_->acquire({});
    Batch batch;
    batch.run.emplace();
    batch.run->run = the_run;
    batch.run->state = RunState::running;
    tracker_->commit(epoch_, batch);
  } catch (...) {
    std::error_code ignored;
    tracker_.reset();
    std::filesystem::remove_all(folder_, ignored);
    throw;
  }
}

ScratchLedger::~ScratchLedger() {
  tracker_->release(epoch_);
  tracker_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void ScratchLedger::add(std::vector<ItemChange> changes) {
  Batch batch;
  for (ItemChange& change : changes) {
    change.record.run = the_run;
    batch.items.push_back(std::move(change));
  }
  if (!batch.items.empty()) tracker_->commit(epoch_, batch);
}

}  // namespace waybill::internal
