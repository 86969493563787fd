// SPDX-License-Identifier: Apache-2.0
//
// Who watches the requests, see waybill/trace.hpp.
#pragma once

#include <functional>
#include <memory>

#include "waybill/trace.hpp"

namespace waybill::internal {

using HttpWatch = std::function<void(const HttpExchange&)>;

/// The present watcher; none in most processes. One atomic read then. Any thread.
std::shared_ptr<const HttpWatch> http_watch() noexcept;

/// A URL for a trace: as redact_url(), without what stands for credentials in a path.
std::string traced_url(std::string_view url);

}  // namespace waybill::internal
