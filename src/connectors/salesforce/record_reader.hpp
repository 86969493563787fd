// SPDX-License-Identifier: Apache-2.0
//
// Records in the order of their ids, page by page, by REST or by a job of the Bulk API.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "connectors/salesforce/client.hpp"

namespace waybill::salesforce {

/// A record's fields by the paths that were selected. Null and a path through null are nothing.
using Record = std::map<std::string, std::optional<std::string>, std::less<>>;

/// What to read. Of all records of an object those for which `where` holds.
struct Selection {
  std::string object;
  std::vector<std::string> paths;  ///< "Id" among them
  std::string where;               ///< a condition of SOQL; "" for all
  std::string order = "Id";        ///< a selected field of ids, no two of them equal, in whose order records come
};

struct RecordPage {
  std::vector<Record> records;
  std::string resume;              ///< carries on behind this page, in another process as well
  bool is_last = false;
};

/// One thread at a time.
class RecordReader {
 public:
  virtual ~RecordReader() = default;
  virtual RecordPage next(Context& context) = 0;
};

/// Pages of 2,000, each a query of its own that begins behind the last id: nothing is held open at the organization.
/// `resume` is "" or that of an earlier reader of the same kind, "r<id>".
std::unique_ptr<RecordReader> read_by_rest(Client& client, Selection selection, const std::string& resume);

/// A job, whose results are read in turn, the next page of them fetched ahead by a thread of the reader's; it is deleted with the
/// reader's last page. Pages of at most 2,000; one without records comes as soon as the job is made, for its resume. `resume` is ""
/// or that of an earlier reader of either kind: of a job, "b<job>/<locator>/<records done>/<id>". Where that job is gone, a new one
/// begins behind the last id.
std::unique_ptr<RecordReader> read_by_bulk(Client& client, Selection selection, const std::string& resume);

/// As `reads` says; automatic is by a job where there are more than 50,000 records behind the first 2,000, else by REST. Where the
/// jobs of the day are used up, or the calls nearly are, the reader goes on by the other way behind the last record. `resume` is ""
/// or that of an earlier reader of any kind.
std::unique_ptr<RecordReader> read_records(Client& client, Selection selection, Reads reads, const std::string& resume);

}  // namespace waybill::salesforce
