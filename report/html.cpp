#include "report/html.h"

#include "base/error.h"

namespace sotto::report {

void Html::add(const std::string& text) {
  for (const char c : text) {
    switch (c) {
      case '&':
        markup_ += "&amp;";
        break;
      case '<':
        markup_ += "&lt;";
        break;
      case '>':
        markup_ += "&gt;";
        break;
      case '"':
        markup_ += "&quot;";
        break;
      case '\'':
        markup_ += "&#39;";
        break;
      default:
        markup_ += c;
    }
  }
}

Html raw_element(const char* open_tag, const std::string& content, const char* close_tag) {
  for (const char* ends : {"</script", "</style", "<!--"}) {
    if (content.find(ends) != std::string::npos) {
      throw Error(ErrorKind::internal, cat("the content of ", open_tag, " holds ", ends, ", which would end it"));
    }
  }
  Html out;
  out.markup_ = open_tag + content + close_tag;
  return out;
}

}  // namespace sotto::report
