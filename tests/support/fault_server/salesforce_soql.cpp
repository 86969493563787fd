// SPDX-License-Identifier: Apache-2.0
#include "support/fault_server/salesforce_soql.hpp"

#include <algorithm>
#include <cctype>

#include "base/text.hpp"
#include "support/fault_server/salesforce_object.hpp"

namespace waybill::testing::fault {

namespace {

struct Token {
  enum class Kind { word, text, number, time, symbol, end } kind = Kind::end;
  std::string text;
  size_t offset = 0;
};

bool is_word_letter(char letter) {
  return std::isalnum(static_cast<unsigned char>(letter)) != 0 || letter == '_' || letter == '.';
}

class Lexer {
 public:
  explicit Lexer(const std::string& text) : text_(text) {}

  std::vector<Token> tokens() {
    std::vector<Token> all;
    do {
      all.push_back(next());
    } while (all.back().kind != Token::Kind::end);
    return all;
  }

 private:
  Token next() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
    const size_t begin = at_;
    if (at_ == text_.size()) return {Token::Kind::end, "<EOF>", begin};
    const char first = text_[at_];
    if (first == '\'') return quoted();
    const bool is_negative = first == '-' && at_ + 1 < text_.size();
    if (is_negative || std::isdigit(static_cast<unsigned char>(first)) != 0) {
      ++at_;
      while (at_ < text_.size() &&
             (is_word_letter(text_[at_]) || std::string_view(":+-").find(text_[at_]) != std::string_view::npos))
        ++at_;
      const std::string word = text_.substr(begin, at_ - begin);
      const bool is_time = word.find('-', 1) != std::string::npos || word.find(':') != std::string::npos;
      return {is_time ? Token::Kind::time : Token::Kind::number, word, begin};
    }
    if (is_word_letter(first)) {
      while (at_ < text_.size() && is_word_letter(text_[at_])) ++at_;
      return {Token::Kind::word, text_.substr(begin, at_ - begin), begin};
    }
    for (const std::string_view symbol : {"!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ","}) {
      if (std::string_view(text_).substr(at_).starts_with(symbol)) {
        at_ += symbol.size();
        return {Token::Kind::symbol, std::string(symbol == "<>" ? "!=" : symbol), begin};
      }
    }
    throw soql_error("MALFORMED_QUERY", text_, begin, "unexpected token: '" + std::string(1, first) + "'");
  }

  Token quoted() {
    const size_t begin = at_++;
    std::string value;
    while (at_ < text_.size() && text_[at_] != '\'') {
      if (text_[at_] != '\\') {
        value += text_[at_++];
        continue;
      }
      const char escaped = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
      switch (escaped) {
        case 'n':
          value += '\n';
          break;
        case 'r':
          value += '\r';
          break;
        case 't':
          value += '\t';
          break;
        case 'b':
          value += '\b';
          break;
        case 'f':
          value += '\f';
          break;
        // Of LIKE, which resolves them itself.
        case '_':
        case '%':
          value += std::string("\\") + escaped;
          break;
        case '"':
        case '\'':
        case '\\':
          value += escaped;
          break;
        default:
          throw soql_error("MALFORMED_QUERY", text_, at_, "Illegal character sequence in string literal");
      }
      at_ += 2;
    }
    if (at_ == text_.size()) throw soql_error("MALFORMED_QUERY", text_, begin, "line has unterminated string literal");
    ++at_;
    return {Token::Kind::text, value, begin};
  }

  const std::string& text_;
  size_t at_ = 0;
};

class Parser {
 public:
  explicit Parser(const std::string& text) : text_(text), tokens_(Lexer(text).tokens()) {}

  SoqlQuery query() {
    SoqlQuery query;
    query.text = text_;
    expect("SELECT");
    do {
      if (is_word("COUNT") && tokens_[at_ + 1].text == "(") {
        at_ += 2;
        expect(")");
        query.counts = true;
      } else {
        query.select.push_back(path());
      }
    } while (take(","));
    expect("FROM");
    query.object_offset = now().offset;
    query.object = word();
    if (take("WHERE")) query.where = any_of();
    if (take("ORDER")) {
      expect("BY");
      do query.order.push_back(order());
      while (take(","));
    }
    if (take("LIMIT")) {
      const auto limit = internal::parse_uint(now().text);
      if (!limit) refuse();
      query.limit = limit;
      ++at_;
    }
    if (now().kind != Token::Kind::end) refuse();
    if (query.counts && !query.select.empty()) {
      throw soql_error("MALFORMED_QUERY", text_, 0, "Grouped query must not mix COUNT() with fields");
    }
    return query;
  }

 private:
  const Token& now() const { return tokens_[at_]; }
  bool is_word(std::string_view wanted) const {
    return (now().kind == Token::Kind::word || now().kind == Token::Kind::symbol) &&
           equals_ignoring_case(now().text, wanted);
  }
  bool take(std::string_view wanted) {
    if (!is_word(wanted)) return false;
    ++at_;
    return true;
  }
  [[noreturn]] void refuse() const {
    throw soql_error(
        "MALFORMED_QUERY", text_, now().offset,
        now().kind == Token::Kind::end ? "unexpected token: <EOF>" : "unexpected token: '" + now().text + "'");
  }
  void expect(std::string_view wanted) {
    if (!take(wanted)) refuse();
  }
  std::string word() {
    if (now().kind != Token::Kind::word) refuse();
    return tokens_[at_++].text;
  }

  SoqlPath path() {
    SoqlPath path;
    path.offset = now().offset;
    std::string rest = word();
    for (size_t dot = rest.find('.'); dot != std::string::npos; dot = rest.find('.')) {
      path.names.push_back(rest.substr(0, dot));
      rest.erase(0, dot + 1);
    }
    path.names.push_back(rest);
    return path;
  }

  SoqlOrder order() {
    SoqlOrder order;
    order.path = path();
    if (!take("ASC")) order.is_descending = take("DESC");
    if (take("NULLS")) {
      order.has_nulls_last = take("LAST");
      if (!order.has_nulls_last) expect("FIRST");
    }
    return order;
  }

  // AND and OR stand beside each other only with parentheses, as in SOQL.
  SoqlCondition any_of() {
    SoqlCondition first = unary();
    const std::string between = is_word("AND") ? "AND" : is_word("OR") ? "OR" : "";
    if (between.empty()) return first;
    SoqlCondition all;
    all.kind = between == "AND" ? SoqlCondition::Kind::all_of : SoqlCondition::Kind::any_of;
    all.parts.push_back(std::move(first));
    while (take(between)) all.parts.push_back(unary());
    if (is_word("AND") || is_word("OR")) refuse();
    return all;
  }

  SoqlCondition unary() {
    if (++depth_ > 50) refuse();
    SoqlCondition condition;
    if (take("NOT")) {
      condition.kind = SoqlCondition::Kind::negation;
      condition.parts.push_back(unary());
    } else if (take("(")) {
      condition = any_of();
      expect(")");
    } else {
      condition = compare();
    }
    --depth_;
    return condition;
  }

  SoqlCondition compare() {
    SoqlCondition condition;
    condition.path = path();
    if (take("LIKE")) {
      condition.comparison = "LIKE";
    } else if (take("IN")) {
      condition.comparison = "IN";
    } else if (take("NOT")) {
      expect("IN");
      condition.comparison = "NOT IN";
    } else if (now().kind == Token::Kind::symbol && now().text.find_first_of("=<>") != std::string::npos) {
      condition.comparison = tokens_[at_++].text;
    } else {
      refuse();
    }
    if (!condition.comparison.ends_with("IN")) {
      condition.values.push_back(literal());
      return condition;
    }
    expect("(");
    do condition.values.push_back(literal());
    while (take(","));
    expect(")");
    return condition;
  }

  SoqlLiteral literal() {
    using Kind = SoqlLiteral::Kind;
    const Token token = now();
    ++at_;
    if (token.kind == Token::Kind::text) return {Kind::text, token.text};
    if (token.kind == Token::Kind::number) return {Kind::number, token.text};
    if (token.kind == Token::Kind::time) return {Kind::time, token.text};
    if (equals_ignoring_case(token.text, "null")) return {};
    if (equals_ignoring_case(token.text, "true")) return {Kind::boolean, "true"};
    if (equals_ignoring_case(token.text, "false")) return {Kind::boolean, "false"};
    --at_;
    refuse();
  }

  const std::string& text_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

SoqlQuery parse_soql(const std::string& text) { return Parser(text).query(); }

SalesforceError soql_error(const std::string& code, const std::string& query, size_t offset,
                           const std::string& message) {
  // A line of the query around the place, and a caret below it.
  const size_t line_begin = offset == 0 ? 0 : query.rfind('\n', offset - 1) + 1;  // npos + 1 is 0
  const size_t row =
      1 + static_cast<size_t>(std::count(query.begin(), query.begin() + static_cast<std::ptrdiff_t>(line_begin), '\n'));
  const size_t begin = std::max(line_begin, offset > 40 ? offset - 40 : 0);
  const size_t end = std::min({query.size(), query.find('\n', offset), offset + 40});
  return {400, code,
          "\n" + query.substr(begin, end - begin) + "\n" + std::string(offset - begin, ' ') + "^\nERROR at Row:" +
              std::to_string(row) + ":Column:" + std::to_string(offset - line_begin + 1) + "\n" + message};
}

}  // namespace waybill::testing::fault
