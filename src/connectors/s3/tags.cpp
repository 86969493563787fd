// SPDX-License-Identifier: Apache-2.0
//
// See tags.hpp.
#include "connectors/s3/tags.hpp"

#include "base/text.hpp"

namespace waybill::s3 {
namespace {

using State = Learnt::Tags;
using Tags = std::map<std::string, std::string>;

Tags get_tags(Client& client, const std::string& key, const std::string& version, Context& context) {
  std::vector<Client::Parameter> parameters = {{"tagging", ""}};
  if (!version.empty()) parameters.emplace_back("versionId", version);
  internal::HttpResponse response =
      client.call(Client::Request{.method = "GET", .key = key, .query = aws::canonical_query(parameters)}, context);
  try {
    return parse_tagging(response.text);
  } catch (Error& error) {
    error.prepend(client.name(key));
    throw;
  }
}

// The first object that is not said to have tags. What this answers is remembered, unless it says nothing about tags.
Tags ask_once(Client& client, const std::string& key, const std::string& version, Context& context) {
  Learnt& learnt = client.learnt();
  State expected = State::unknown;
  if (!learnt.tags.compare_exchange_strong(expected, State::being_asked)) return {};
  State found = State::unknown;
  Tags tags;
  try {
    tags = get_tags(client, key, version, context);
    found = tags.empty() ? State::counted : State::uncounted;
    if (!tags.empty()) {
      context.log(LogLevel::info, client.config().identity() +
                                      ": the store does not say how many tags an object has; it is asked for each");
    }
  } catch (const Error& error) {
    if (error.error_class() == ErrorClass::cancelled) {
      learnt.tags = State::unknown;
      throw;
    }
    const int status = error.http_status();
    if (error.error_class() == ErrorClass::permission) {
      found = State::counted;
      context.log(LogLevel::warning, error.message() +
                                         "; if objects have tags, they are copied without them. tags=false "
                                         "in the source's URL says that this is meant");
    } else if (status >= 400 && status < 500 && error.error_class() != ErrorClass::missing && !error.retryable()) {
      found = State::counted;
    } else if (status == 501) {
      found = State::counted;
    }
  }
  learnt.tags = found;
  return tags;
}

}  // namespace

Error with_hint(const Error& error, std::string_view hint) {
  Error hinted(error.code(), error.error_class(), error.message() + "; " + std::string(hint));
  hinted.set_retryable(error.retryable())
      .set_http_status(error.http_status())
      .set_provider_code(error.provider_code())
      .set_request_id(error.request_id());
  if (error.retry_after()) hinted.set_retry_after(*error.retry_after());
  return hinted;
}

Tags read_tags(Client& client, const std::string& key, const std::string& version, const internal::HttpResponse& response,
               Context& context) {
  if (!client.config().tags) return {};
  const std::string_view said = response.header("x-amz-tagging-count");
  const bool has_tags = !said.empty() && internal::parse_uint(said).value_or(1) > 0;
  const State state = client.learnt().tags.load();
  if (!has_tags && state != State::uncounted) {
    const bool is_open = said.empty() && state == State::unknown && !client.config().anonymous;
    return is_open ? ask_once(client, key, version, context) : Tags{};
  }
  try {
    return get_tags(client, key, version, context);
  } catch (const Error& error) {
    const bool is_final = error.error_class() == ErrorClass::permission || error.http_status() == 501;
    if (is_final) throw with_hint(error, "tags=false in the source's URL copies objects without their tags");
    throw;
  }
}

}  // namespace waybill::s3
