// SPDX-License-Identifier: Apache-2.0
#include "connectors/http/http.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "base/text.hpp"
#include "base/uri.hpp"
#include "connectors/http/http_source.hpp"

namespace waybill::http {
namespace {

Error bad(const std::string& problem) {
  return Error(ErrorCode::invalid_argument, ErrorClass::configuration, problem);
}

// RFC 9110, 5.6.2.
bool is_token_char(unsigned char c) {
  constexpr std::string_view others = "!#$%&'*+-.^_`|~";
  return c < 0x80 && (std::isalnum(c) != 0 || others.find(static_cast<char>(c)) != std::string_view::npos);
}

// The header that the variable of "env:NAME" holds. Neither it nor what may be one is shown.
internal::HttpHeader credential_of(const std::string& reference) {
  if (!internal::is_reference(reference)) {
    throw bad(
        "parameter 'header' of an http source is env:NAME, the name of a variable that holds the header; a header "
        "itself never belongs in a URL");
  }
  const std::string name = reference.substr(4);
  const char* text = std::getenv(name.c_str());
  if (text == nullptr) throw bad("header=" + reference + ": there is no variable " + name);
  const std::string_view header = text;
  const size_t colon = std::min(header.find(':'), header.size());
  const std::string_view field = header.substr(0, colon);
  const std::string_view value = internal::trim(header.substr(std::min(colon + 1, header.size())));
  const bool is_header = !field.empty() && std::all_of(field.begin(), field.end(), is_token_char) && !value.empty() &&
                         std::all_of(value.begin(), value.end(), [](unsigned char c) { return c >= ' ' && c != 0x7f; });
  if (!is_header) {
    throw bad("header=" + reference + ": the variable " + name +
              " does not hold one whole header, such as \"Authorization: Bearer …\"");
  }
  return {std::string(field), std::string(value)};
}

std::shared_ptr<Source> open(const Url& url) {
  const auto fail = [&](const std::string& problem) { return bad(url.redacted() + ": " + problem); };
  for (const auto& [name, value] : url.query) {
    if (name == "header") continue;
    throw fail("unknown parameter \"" + printable(name) +
               "\"; the base of an http source has no query but header=env:NAME: a key brings its own");
  }
  const auto base = HttpUrl::parse(url.scheme + "://" + url.host + internal::encode_path(url.path));
  if (!base) throw fail("names no host; an http source is https://host/base/");
  const auto header = url.query.find("header");
  if (header == url.query.end()) return std::make_shared<HttpSource>(*base);
  if (!base->is_https() && !base->is_loopback()) {
    throw fail("header needs https: over plain http to another machine it would be read on the way");
  }
  return std::make_shared<HttpSource>(*base, credential_of(header->second));
}

}  // namespace

Connector http_connector() {
  Connector connector;
  connector.open_source = open;
  return connector;
}

}  // namespace waybill::http
