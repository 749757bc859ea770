#pragma once
#include <concepts>
#include <cstdint>
#include <string>
#include <type_traits>

namespace sotto::report {

// Markup that is safe to put into the page. html(parts…) joins: a literal is markup, a string or a whole number is text
// and is escaped, an Html is taken as it is. So text cannot reach the page unescaped. A floating-point number is
// refused: numbers.h says how it is rounded.
class Html {
 public:
  Html() = default;
  const std::string& markup() const { return markup_; }
  Html& operator+=(const Html& more) {
    markup_ += more.markup_;
    return *this;
  }

  template <size_t N>
  void add(const char (&literal)[N]) {
    markup_.append(literal, N - 1);
  }
  void add(const std::string& text);
  void add(const Html& part) { markup_ += part.markup_; }
  void add(std::integral auto number) { markup_ += std::to_string(number); }
  void add(std::floating_point auto number) = delete;

 private:
  friend Html raw_element(const char* open_tag, const std::string& content, const char* close_tag);
  std::string markup_;
};

template <class... Parts>
Html html(const Parts&... parts) {
  Html out;
  (out.add(parts), ...);
  return out;
}

// A script's or a style's content, which HTML does not unescape. Throws internal if it would end its element early.
Html raw_element(const char* open_tag, const std::string& content, const char* close_tag);

}  // namespace sotto::report
