// SPDX-License-Identifier: Apache-2.0
//
// What the engine and its ledger cost by themselves: a Source that makes its items up as it is asked, a Destination
// that keeps nothing, a SQLite ledger. Both stores are written against the public headers, as a user's would be, and
// need memory for one page at most; whatever this process grows to is the library.
//
// Keys have 60 bytes; stamps are a size that takes three bytes and an etag of 32 hexadecimal digits.
#include <atomic>
#include <cstring>
#include <iostream>
#include <memory>
#include <thread>

#include "measure.hpp"
#include "waybill/waybill.hpp"

namespace {

constexpr uint64_t page_items = 1000;
constexpr double most_resident_mib = 64;
constexpr double most_ledger_bytes = 140;
constexpr double slowest_snapshot_ms = 10;
constexpr auto sample_pause = std::chrono::milliseconds(20);

struct Settings {
  uint64_t items = 1'000'000;
  std::filesystem::path folder = std::filesystem::temp_directory_path();
  bool has_own_etags = false;  // the destination's differ from the source's, as where content is cut into parts
  bool any_latency = false;
};

// The n-th item: ascending keys, so that position and key can be told from each other.
constexpr size_t number_at = 29;
constexpr size_t number_digits = 11;

std::string key_of(uint64_t n) {
  char key[61];
  std::snprintf(key, sizeof key, "accounts/%04u/documents/2024/%011llu/attachment-orig.bin",
                static_cast<unsigned>(n / 10'000), static_cast<unsigned long long>(n));
  return std::string(key, 60);
}

uint64_t number_of(const std::string& key) {
  return std::strtoull(key.substr(number_at, number_digits).c_str(), nullptr, 10);
}

uint64_t mixed(uint64_t value) {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

std::string etag_of(uint64_t n, uint64_t seed) {
  char etag[33];
  std::snprintf(etag, sizeof etag, "%016llx%016llx", static_cast<unsigned long long>(mixed(n * 2 + seed)),
                static_cast<unsigned long long>(mixed(n * 2 + 1 + seed)));
  return etag;
}

uint64_t size_of(uint64_t n) { return 32'768 + n % 4'096; }

waybill::Item item_of(uint64_t n, uint64_t seed) {
  waybill::Item item;
  item.id.key = key_of(n);
  item.stamp.size = size_of(n);
  item.stamp.etag = etag_of(n, seed);
  return item;
}

class GeneratedLister final : public waybill::Lister {
 public:
  GeneratedLister(const waybill::ListRequest& request, uint64_t items, uint64_t seed) : end_(items), seed_(seed) {
    if (!request.before.empty()) end_ = first_not_below(request.before, items);
    if (!request.after.empty()) {
      next_ = first_not_below(request.after, items);
      if (next_ < items && key_of(next_) == request.after) ++next_;
    }
  }

  waybill::Page next(waybill::Context& context) override {
    context.check();
    waybill::Page page;
    page.items.reserve(page_items);
    while (next_ < end_ && page.items.size() < page_items) page.items.push_back(item_of(next_++, seed_));
    page.is_last = next_ >= end_;
    return page;
  }

 private:
  static uint64_t first_not_below(const std::string& key, uint64_t items) {
    uint64_t low = 0;
    uint64_t high = items;
    while (low < high) {
      const uint64_t middle = low + (high - low) / 2;
      if (key_of(middle) < key)
        low = middle + 1;
      else
        high = middle;
    }
    return low;
  }

  uint64_t next_ = 0;
  uint64_t end_;
  uint64_t seed_;
};

class GeneratedSource final : public waybill::Source {
 public:
  explicit GeneratedSource(uint64_t items) : items_(items) {}

  Capabilities capabilities() const override {
    return {.positioned = true, .order = waybill::Order::byte_key, .start_after = true, .lists_stamps = true};
  }
  std::string identity() const override { return "generated://items/"; }
  std::string endpoint() const override { return "generated"; }
  std::unique_ptr<waybill::Lister> list(const waybill::ListRequest& request, waybill::Context&) override {
    return std::make_unique<GeneratedLister>(request, items_, 0);
  }
  waybill::ReadResult read(const waybill::Item& item, uint64_t offset, std::span<std::byte> out,
                           waybill::Context&) override {
    const uint64_t n = number_of(item.id.key);
    waybill::ReadResult result;
    result.total_size = size_of(n);
    result.count = static_cast<size_t>(std::min<uint64_t>(out.size(), size_of(n) - std::min(offset, size_of(n))));
    std::memset(out.data(), static_cast<int>(n & 0xff), result.count);
    result.stamp = item.stamp;
    return result;
  }

 private:
  uint64_t items_;
};

class NullDestination final : public waybill::Destination {
 public:
  NullDestination(uint64_t items, uint64_t seed) : items_(items), seed_(seed) {}

  /// From now on listings say that everything has arrived.
  void show_everything() { shown_ = items_; }

  Capabilities capabilities() const override {
    Capabilities can;
    can.order = waybill::Order::byte_key;
    can.start_after = true;
    can.conditional = true;
    can.listing_has_etag = true;
    return can;
  }
  std::string identity() const override { return "null://items/"; }
  std::string endpoint() const override { return "null"; }
  std::unique_ptr<waybill::Lister> list(const waybill::ListRequest& request, waybill::Context&) override {
    return std::make_unique<GeneratedLister>(request, shown_, seed_);
  }
  std::optional<waybill::Item> stat(const waybill::Key& key, waybill::Context&) override {
    const uint64_t n = number_of(key);
    if (n >= shown_) return std::nullopt;
    return item_of(n, seed_);
  }
  waybill::Stored put(const waybill::Key& key, const waybill::Body& body, const waybill::WriteOptions&,
                      waybill::Context&) override {
    waybill::Stored stored;
    stored.size = body.size();
    stored.etag = etag_of(number_of(key), seed_);
    stored.digest = body.digest();
    ++puts_;
    return stored;
  }
  uint64_t puts() const { return puts_; }

 private:
  uint64_t items_;
  uint64_t seed_;
  std::atomic<uint64_t> shown_{0};
  std::atomic<uint64_t> puts_{0};
};

struct Measured {
  double seconds = 0;
  double cpu_seconds = 0;
  std::vector<double> snapshot_ms;
  std::vector<double> resident_mib;
  uint64_t largest_wal = 0;
  waybill::Report report;
};

uint64_t size_on_disk(const std::filesystem::path& file) {
  std::error_code none;
  const auto size = std::filesystem::file_size(file, none);
  return none ? 0 : size;
}

Measured measure(waybill::Migration& migration, const std::filesystem::path& ledger) {
  Measured result;
  const double cpu = bench::own_cpu_seconds();
  const auto start = bench::Clock::now();
  const std::unique_ptr<waybill::Run> run = migration.start();
  std::optional<waybill::Report> report;
  while (!(report = run->wait(sample_pause))) {
    const auto asked = bench::Clock::now();
    (void)run->snapshot();
    result.snapshot_ms.push_back(bench::seconds_since(asked) * 1000);
    result.resident_mib.push_back(bench::mib(bench::own_memory("VmRSS")));
    result.largest_wal = std::max(result.largest_wal, size_on_disk(ledger.string() + "-wal"));
  }
  result.seconds = bench::seconds_since(start);
  result.cpu_seconds = bench::own_cpu_seconds() - cpu;
  result.report = std::move(*report);
  return result;
}

void print(const char* name, const Measured& run, uint64_t items) {
  const waybill::ItemAccounts& accounts = run.report.snapshot.items;
  const double n = static_cast<double>(items);
  std::printf("%-9s %s: %lld new, %lld unchanged, %lld failed\n", name, to_string(run.report.snapshot.state),
              static_cast<long long>(accounts.created), static_cast<long long>(accounts.unchanged),
              static_cast<long long>(accounts.failed));
  std::printf("          %.1f s, %.0f items/s, %.2f us CPU an item\n", run.seconds, n / run.seconds,
              run.cpu_seconds / n * 1e6);
  std::printf("          snapshot(): p50 %.2f ms, p99 %.2f ms, max %.2f ms (%zu samples)\n",
              bench::quantile(run.snapshot_ms, 0.5), bench::quantile(run.snapshot_ms, 0.99),
              bench::quantile(run.snapshot_ms, 1), run.snapshot_ms.size());
  std::printf("          VmRSS in MiB over the run:");
  constexpr size_t points = 10;
  for (size_t i = 1; i <= points && !run.resident_mib.empty(); ++i) {
    std::printf(" %.1f", run.resident_mib[(run.resident_mib.size() - 1) * i / points]);
  }
  std::printf("\n          largest WAL %.1f MiB\n", bench::mib(run.largest_wal));
}

Settings parse(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--dir" && i + 1 < argc)
      settings.folder = argv[++i];
    else if (argument == "--own-etags")
      settings.has_own_etags = true;
    else if (argument == "--any-latency")
      settings.any_latency = true;
    else if (argument.find_first_not_of("0123456789") == std::string_view::npos)
      settings.items = std::stoull(argv[i]);
    else
      throw std::runtime_error("usage: million_items [N] [--dir FOLDER] [--own-etags] [--any-latency]");
  }
  if (settings.items == 0 || settings.items > 90'000'000) throw std::runtime_error("N is 1 to 90,000,000");
  return settings;
}

int run(const Settings& settings) {
  std::printf("million_items: %llu items, generated source, null destination, SQLite ledger%s\n",
              static_cast<unsigned long long>(settings.items),
              settings.has_own_etags ? ", the destination has etags of its own" : "");
  bench::print_setup(waybill::version());

  const bench::TemporaryFolder folder(settings.folder);
  const std::filesystem::path ledger = folder.path() / "ledger.db";
  Measured first;
  Measured second;
  double ledger_bytes = 0;
  {
    const auto source = std::make_shared<GeneratedSource>(settings.items);
    const auto destination =
        std::make_shared<NullDestination>(settings.items, settings.has_own_etags ? 1'000'000'007 : 0);
    {
      waybill::Migration migration(source, destination, waybill::open_tracker(ledger.string()));
      first = measure(migration, ledger);
    }
    ledger_bytes = static_cast<double>(size_on_disk(ledger) + size_on_disk(ledger.string() + "-wal"));
    destination->show_everything();
    {
      waybill::Migration migration(source, destination, waybill::open_tracker(ledger.string()));
      second = measure(migration, ledger);
    }
    if (destination->puts() != settings.items)
      throw std::runtime_error("the number of writes is not the number of items");
  }
  const double n = static_cast<double>(settings.items);
  print("first:", first, settings.items);
  print("again:", second, settings.items);
  std::printf("ledger:   %.1f bytes an item (%.1f MiB)\n", ledger_bytes / n, ledger_bytes / (1 << 20));
  const auto expected = static_cast<int64_t>(settings.items);
  if (first.report.snapshot.items.created != expected || second.report.snapshot.items.unchanged != expected) {
    throw std::runtime_error("not every item was copied once and found unchanged then: " + first.report.message + "; " +
                             second.report.message);
  }

  bench::Gates gates;
  gates.at_most("resident, most (VmHWM)", bench::mib(bench::own_memory("VmHWM")), most_resident_mib, "MiB");
  // The promise is about what most rows are; etags of the destination's own come on top of it.
  if (!settings.has_own_etags) gates.at_most("ledger, an item", ledger_bytes / n, most_ledger_bytes, "bytes");
  std::vector<double> snapshots = first.snapshot_ms;
  snapshots.insert(snapshots.end(), second.snapshot_ms.begin(), second.snapshot_ms.end());
  if (!settings.any_latency)
    gates.at_most("snapshot(), p99", bench::quantile(snapshots, 0.99), slowest_snapshot_ms, "ms");
  return gates.exit_code();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(parse(argc, argv));
  } catch (const std::exception& error) {
    std::cerr << "million_items: " << error.what() << '\n';
    return 2;
  }
}
