#include "report/html.h"

#include <gtest/gtest.h>

#include "report/page.h"
#include "tests/report/fixture.h"

namespace sotto::report {
namespace {

template <class T>
concept CanEnterThePage = requires(Html page, T part) {
  page.add(part);
};
static_assert(CanEnterThePage<int64_t> && CanEnterThePage<std::string> && CanEnterThePage<Html>);
static_assert(!CanEnterThePage<double> && !CanEnterThePage<float>);

TEST(Html, TextIsEscapedAndMarkupIsNot) {
  const std::string text = "<b title=\"x\">'&'</b>";
  EXPECT_EQ(html("<p>", text, "</p>").markup(), "<p>&lt;b title=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/b&gt;</p>");
  EXPECT_EQ(html(html("<i>", text, "</i>"), int64_t{7}).markup(),
            "<i>&lt;b title=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/b&gt;</i>7");
  const char* pointer = "<b>";  // may be any string's bytes: only a literal is markup
  EXPECT_EQ(html(pointer).markup(), "&lt;b&gt;");
}

TEST(Html, ProseSetsBackticksAsCodeAndEscapesBoth) {
  EXPECT_EQ(prose("a `b<` & `c").markup(), "a <code>b&lt;</code> &amp; <code>c</code>");
  EXPECT_EQ(prose("").markup(), "");
  EXPECT_EQ(prose("plain").markup(), "plain");
}

TEST(Html, ScriptThatWouldEndItsElementIsRefused) {
  for (const char* content : {"var x = '</script>'", "<!-- hidden", "a </style> b"}) {
    EXPECT_NE(message_of([&] { raw_element("<script>", content, "</script>"); }, ErrorKind::internal), "");
  }
  EXPECT_EQ(raw_element("<script>", "a < b", "</script>").markup(), "<script>a < b</script>");
}

}  // namespace
}  // namespace sotto::report
