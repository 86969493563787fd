// SPDX-License-Identifier: Apache-2.0
//
// A process of a cutover, for cutover_kills_test: it kills itself at a step of its catalog.
//
//   cutover_program FOLDER backup|plan|cutover|rollback HASH STEP:N
//
// FOLDER has files/ (the source), copy/ (the destination), crm.db (a table `documents` of id, account, url) and ledger.db.
// STEP is list, updating, updated, reading or read; 0: never. Prints the plan's hash, or the run's message; exits with the
// run's exit code.
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <iostream>

#include "waybill/waybill.hpp"

namespace {

using namespace waybill;

std::string kill_step;
uint64_t kill_at = 0;
std::atomic<uint64_t> steps{0};

void at(const char* step) {
  if (kill_step != step || steps.fetch_add(1) + 1 != kill_at) return;
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();
}

class DyingLister final : public ReferenceLister {
 public:
  explicit DyingLister(std::unique_ptr<ReferenceLister> inner) : inner_(std::move(inner)) {}
  ReferencePage next(Context& context) override {
    at("list");
    return inner_->next(context);
  }

 private:
  std::unique_ptr<ReferenceLister> inner_;
};

/// The catalog of crm.db, in batches of three.
class DyingCatalog final : public Catalog {
 public:
  explicit DyingCatalog(std::shared_ptr<Catalog> inner) : inner_(std::move(inner)) {}
  Capabilities capabilities() const override {
    Capabilities can = inner_->capabilities();
    can.max_batch = 3;
    return can;
  }
  std::string identity() const override { return inner_->identity(); }
  void check(CatalogAccess access, Context& context) override { inner_->check(access, context); }
  std::unique_ptr<ReferenceLister> list(const Since& since, Context& context) override {
    return std::make_unique<DyingLister>(inner_->list(since, context));
  }
  std::vector<UpdateResult> update(std::span<const ReferenceUpdate> updates, Context& context) override {
    at("updating");
    auto results = inner_->update(updates, context);
    at("updated");
    return results;
  }
  std::vector<ReferenceValue> read(std::span<const ReferenceId> ids, Context& context) override {
    at("reading");
    auto values = inner_->read(ids, context);
    at("read");
    return values;
  }

 private:
  std::shared_ptr<Catalog> inner_;
};

/// A folder whose files are known by URLs "old://KEY".
class LinkedFolder final : public Source {
 public:
  explicit LinkedFolder(const std::string& path) : inner_(open_source(path)) {}
  Capabilities capabilities() const override { return inner_->capabilities(); }
  std::string identity() const override { return inner_->identity(); }
  std::string endpoint() const override { return inner_->endpoint(); }
  void check(Context& context) override { inner_->check(context); }
  std::unique_ptr<Lister> list(const ListRequest& request, Context& context) override { return inner_->list(request, context); }
  ReadResult read(const Item& item, uint64_t offset, std::span<std::byte> out, Context& context) override {
    return inner_->read(item, offset, out, context);
  }
  std::optional<Item> stat(const ItemId& id, Context& context) override { return inner_->stat(id, context); }
  std::optional<ItemId> item_at(std::string_view url) const override {
    if (!url.starts_with("old://")) return std::nullopt;
    return ItemId{"", Key(url.substr(6)), ""};
  }

 private:
  std::shared_ptr<Source> inner_;
};

int run(const std::string& folder, const std::string& phase, const std::string& hash) {
  const auto catalog = std::make_shared<DyingCatalog>(
      open_catalog("sqlite://" + folder + "/crm.db?table=documents&id=id&url=url&partition=account"));
  Migration migration(std::make_shared<LinkedFolder>(folder + "/files"), open_destination(folder + "/copy"), folder + "/ledger.db");
  migration.set_catalog(catalog);
  Options options;
  options.commit_interval_ms = 10;
  CutoverOptions cutover;
  cutover.url_template = "new://host/{destination_key}";
  cutover.probes = 0;
  if (phase == "plan") {
    const CutoverPlan plan = migration.plan_cutover(cutover);
    std::cout << plan.hash << '\n';
    return plan.is_ready ? 0 : 4;
  }
  if (phase == "backup") {
    const Report copied = migration.run(options);
    return copied.exit_code != 0 ? copied.exit_code : migration.verify(VerifyLevel::checksum, options).exit_code;
  }
  const auto run = phase == "cutover" ? migration.start_cutover(hash, cutover, options) : migration.start_rollback({}, options);
  const Report report = run->wait();
  std::cout << report.message << '\n';
  return report.exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const std::string kill = argv[4];
  kill_step = kill.substr(0, kill.find(':'));
  kill_at = std::strtoull(kill.c_str() + kill_step.size() + 1, nullptr, 10);
  try {
    return run(argv[1], argv[2], argv[3]);
  } catch (const Error& error) {
    std::cerr << error.message() << '\n';
    return error.error_class() == ErrorClass::locked ? 4 : 2;
  }
}
