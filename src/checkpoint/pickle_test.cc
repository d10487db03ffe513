#include "src/checkpoint/pickle.h"

#include <random>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace finetune {
namespace {

using ::testing::HasSubstr;
using Kind = PickleGraph::Kind;

std::string ErrorOf(const std::string& pickle) {
  const absl::StatusOr<PickleGraph> graph = PickleGraph::Parse(pickle);
  EXPECT_FALSE(graph.ok());
  return graph.ok() ? "" : std::string(graph.status().message());
}

TEST(Pickle, ReportsItsLength) {
  const absl::StatusOr<PickleGraph> graph = PickleGraph::Parse("\x80\x02K\x07.and more");
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph->size(), 5u);
  EXPECT_EQ(std::get<int64_t>(graph->root()), 7);
}

TEST(Pickle, ReadsNumbersAsPythonDoes) {
  const auto number = [](const std::string& pickle) {
    return std::get<int64_t>(PickleGraph::Parse(pickle)->root());
  };
  EXPECT_EQ(number("J\xff\xff\xff\xff."), -1);
  EXPECT_EQ(number("M\xff\xff."), 65535);
  EXPECT_EQ(number(std::string("\x8a\0.", 3)), 0);
  EXPECT_EQ(number("\x8a\x01\x80."), -128);
  EXPECT_EQ(number(std::string("\x8a\x02\xff\0.", 5)), 255);
  EXPECT_EQ(std::get<double>(PickleGraph::Parse(std::string("G\x3f\xf8\0\0\0\0\0\0.", 10))->root()),
            1.5);
}

TEST(Pickle, KeepsCallsOfUnknownFunctionsAsNames) {
  for (const char* pickle : {
           "cos\nsystem\n(U\x02idtR.",         // GLOBAL, REDUCE
           "\x8c\x02os\x8c\x06system\x93)R.",  // STACK_GLOBAL
           "cos\nsystem\n)\x81.",              // NEWOBJ
           "cos\nsystem\n)}\x92.",             // NEWOBJ_EX
           "cos\nsystem\n)R}b.",               // BUILD on the result of a call
           "cos\nsystem\n)R)R.",               // a call of the result of a call
           "cos\nsystem\n)R(K\1K\2u.",         // items for an object that is not a container
       }) {
    const absl::StatusOr<PickleGraph> graph = PickleGraph::Parse(pickle);
    ASSERT_TRUE(graph.ok()) << graph.status();
    const PickleGraph::Node* root = graph->Get(graph->root(), Kind::kOpaque);
    ASSERT_NE(root, nullptr) << pickle;
    EXPECT_EQ(root->text, "os.system");
  }
}

// Returns the pickle of a uint8 array [1, 3] as NumPy of Python 2 wrote it. The parameters replace
// parts of the pickle: the code of the type, the opcode for the order, and the opcodes for the
// bytes.
std::string Array(const std::string& dtype = "u1", const std::string& order = "\x89",
                  const std::string& bytes = "U\3\1\2\xff") {
  return "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n)U\1btR(K\1K\1K\3\x86"
         "cnumpy\ndtype\n(U\2" +
         dtype + "\x89\x88tR(K\3U\1|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff\x89tb" + order + bytes +
         "tb.";
}

TEST(Pickle, ReadsArraysOfBytes) {
  for (const char* bytes :
       {"U\3\1\2\xff", "C\3\1\2\xff", "c_codecs\nencode\n(\x8c\4\1\2\xc3\xbfU\6latin1tR"}) {
    // The graph's texts point into `pickle`, so it must live as long as the graph.
    const std::string pickle = Array("u1", "\x89", bytes);
    const auto graph = PickleGraph::Parse(pickle);
    ASSERT_TRUE(graph.ok()) << graph.status();
    const auto array = GetByteArray(*graph, graph->root());
    ASSERT_TRUE(array.ok()) << array.status();
    EXPECT_EQ(array->shape, (std::vector<int64_t>{1, 3}));
    EXPECT_EQ(array->bytes, "\1\2\xff");
  }
}

TEST(Pickle, RefusesArraysOfAnythingElse) {
  const auto refusal = [](const std::string& pickle) {
    const auto graph = PickleGraph::Parse(pickle);
    EXPECT_TRUE(graph.ok()) << graph.status();
    const auto array = GetByteArray(*graph, graph->root());
    EXPECT_FALSE(array.ok());
    return std::string(array.status().message());
  };
  EXPECT_EQ(refusal(Array("i8")), "expected an array of numpy.uint8");
  EXPECT_EQ(refusal(Array("u1", "\x88")), "expected an array in C's order");
  EXPECT_EQ(refusal(Array("u1", "\x89", "U\2\1\2")), "an array has 2 bytes; its shape says 3");
  EXPECT_EQ(refusal(Array("u1", "\x89", "K\1")), "expected an array with its bytes");
  EXPECT_EQ(refusal("cnumpy.core.multiarray\n_reconstruct\n)R."), "expected a numpy array");
  EXPECT_EQ(refusal("K\1."), "expected a numpy array");
}

TEST(Pickle, ReadsDictsOfPython2) {
  const absl::StatusOr<PickleGraph> graph = PickleGraph::Parse(
      "ccollections\nOrderedDict\n](](U\1"
      "aK\1e](U\1"
      "bK\2ee\x85R.");
  ASSERT_TRUE(graph.ok()) << graph.status();
  const PickleGraph::Item* b = graph->Find(graph->root(), "b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(std::get<int64_t>(*b), 2);
}

TEST(Pickle, DecodesBytesOfProtocol2) {
  EXPECT_EQ(*DecodeLatin1("a\xC2\x80\xC3\xBF"), "a\x80\xFF");
  EXPECT_FALSE(DecodeLatin1("\xC4\x80").has_value());
  EXPECT_FALSE(DecodeLatin1("a\xC3").has_value());
  EXPECT_FALSE(DecodeLatin1("\xFF").has_value());
}

TEST(Pickle, RefusesProgramsThatMisuseTheStack) {
  EXPECT_THAT(ErrorOf("."), HasSubstr("stack is empty"));
  EXPECT_THAT(ErrorOf("K\1(."), HasSubstr("stack is empty"));
  EXPECT_THAT(ErrorOf("K\1(0"), HasSubstr("stack is empty"));
  EXPECT_THAT(ErrorOf("K\1(2"), HasSubstr("stack is empty"));
  EXPECT_THAT(ErrorOf("(\x85"), HasSubstr("stack is empty"));
  EXPECT_THAT(ErrorOf("t."), HasSubstr("mark is missing"));
  EXPECT_THAT(ErrorOf("1"), HasSubstr("mark is missing"));
  EXPECT_THAT(ErrorOf("h\5."), HasSubstr("memo 5 was never set"));
  EXPECT_THAT(ErrorOf("q\1"), HasSubstr("stack is empty"));
  EXPECT_THAT(ErrorOf("K\1K\2a"), HasSubstr("plain value is used as a container"));
  EXPECT_THAT(ErrorOf("}K\2a"), HasSubstr("not a container"));
  EXPECT_THAT(ErrorOf("](K\2u"), HasSubstr("not a container"));
  EXPECT_THAT(ErrorOf("}(K\2u"), HasSubstr("a key has no value"));
  EXPECT_THAT(ErrorOf("(K\1d"), HasSubstr("a key has no value"));
  EXPECT_THAT(ErrorOf("K\1)R"), HasSubstr("plain value is called"));
  EXPECT_THAT(ErrorOf("K\1Q"), HasSubstr("neither a storage's nor a class's"));
  EXPECT_THAT(ErrorOf("(U\6module))))tQ"), HasSubstr("neither a storage's nor a class's"));
  EXPECT_THAT(ErrorOf("ctorch._utils\n_rebuild_tensor_v2\n)R"), HasSubstr("too few arguments"));
  EXPECT_THAT(ErrorOf("ctorch._utils\n_rebuild_tensor_v3\n(NNNNtR"),
              HasSubstr("too few arguments"));
  EXPECT_THAT(ErrorOf("ccollections\nOrderedDict\n](K\1e\x85R"), HasSubstr("not a pair"));
  EXPECT_THAT(ErrorOf("\x80\x06"), HasSubstr("protocol 6"));
  EXPECT_THAT(ErrorOf("K\1\xff"), HasSubstr("opcode 0xff is not known, at byte 2"));
  EXPECT_THAT(ErrorOf("T\xff\xff\xff\xff"), HasSubstr("length is negative"));
  EXPECT_THAT(ErrorOf("c" + std::string(1000, 'a')), HasSubstr("name is too long"));
  EXPECT_THAT(ErrorOf("X\xe8\x03" + std::string("\0\0", 2) + std::string(1000, 'a') + "U\1a\x93"),
              HasSubstr("name is too long"));
  EXPECT_THAT(ErrorOf("K\1K\2\x93"), HasSubstr("a global has no name"));
}

TEST(Pickle, TellsTruncatedProgramsFromWrongOnes) {
  for (const std::string& pickle :
       {std::string(), std::string("K"), std::string("X\xff\xff\xff\xff", 5),
        std::string("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"), std::string("cos\nsys"),
        std::string("K\1")}) {
    EXPECT_EQ(PickleGraph::Parse(pickle).status().code(), absl::StatusCode::kOutOfRange) << pickle;
  }
}

TEST(Pickle, BoundsWorkAndMemory) {
  PickleGraph::Limits limits;
  limits.opcodes = 1000;
  limits.nodes = 100;
  const auto error = [&](const std::string& pickle) {
    return std::string(PickleGraph::Parse(pickle, limits).status().message());
  };
  EXPECT_THAT(error(std::string(2000, 'N')), HasSubstr("more opcodes"));
  EXPECT_THAT(error(std::string(200, ']')), HasSubstr("more objects"));
  // Each of ten calls of set() copies a list of 300 items.
  std::string copies = "(" + std::string(300, 'N') + "lq\1";
  for (int i = 0; i < 10; ++i) copies += "cbuiltins\nset\nh\1\x85R";
  EXPECT_THAT(error(copies), HasSubstr("more objects"));
}

// Parses random sequences of valid opcodes, which reach more of the parser's code than real pickles
// with flipped bits.
TEST(Pickle, SurvivesRandomPrograms) {
  const std::string parts[] = {
      "N",
      "\x88",
      "K\1",
      "J\xff\xff\xff\xff",
      "U\1a",
      "X\1" + std::string(3, '\0') + "b",
      "C\1c",
      "]",
      ")",
      "}",
      "(",
      "l",
      "t",
      "d",
      "\x85",
      "\x86",
      "\x87",
      "a",
      "e",
      "s",
      "u",
      "0",
      "1",
      "2",
      "q\1",
      "q\2",
      "h\1",
      "h\2",
      "\x94",
      "\x90",
      "\x91",
      "\x93",
      "R",
      "\x81",
      "\x92",
      "b",
      "Q",
      "(U\7storagectorch\nFloatStorage\nU\0010U\3cpuK\4tQ",
      "cos\nsystem\n",
      "ccollections\nOrderedDict\n",
      "cbuiltins\nset\n",
      "c_codecs\nencode\n",
      "cnumpy\ndtype\n",
      "cnumpy.core.multiarray\nscalar\n",
      "cnumpy.core.multiarray\n_reconstruct\n",
      "U\2f8",
      "U\6latin1",
      "ctorch._utils\n_rebuild_tensor_v2\n",
      "ctorch._utils\n_rebuild_tensor_v3\n",
      "ctorch._tensor\n_rebuild_from_type_v2\n",
      "ctorch._utils\n_rebuild_parameter\n",
      "ctorch\nSize\n",
  };
  std::mt19937 random(1);
  int parsed = 0;
  for (int i = 0; i < 50'000; ++i) {
    std::string pickle = "]}(NNN";
    const size_t length = random() % 40;
    for (size_t k = 0; k < length; ++k) pickle += parts[random() % std::size(parts)];
    const absl::StatusOr<PickleGraph> graph = PickleGraph::Parse(pickle + ".");
    if (!graph.ok()) continue;
    ++parsed;
    for (const PickleGraph::Node& node : graph->nodes()) {
      // materialize.cc relies on these numbers of items in a node.
      EXPECT_TRUE(node.kind != Kind::kNdarray || node.items.empty() || node.items.size() == 4);
      EXPECT_TRUE(node.kind != Kind::kTensor || node.items.size() >= 4);
      EXPECT_TRUE(node.kind != Kind::kStorage || node.items.size() >= 4);
      EXPECT_TRUE(node.kind != Kind::kDict || node.items.size() % 2 == 0);
      for (const PickleGraph::Item& item : node.items) {
        const auto* ref = std::get_if<PickleGraph::Ref>(&item);
        EXPECT_TRUE(ref == nullptr || ref->node < graph->nodes().size());
      }
    }
  }
  EXPECT_GT(parsed, 1000) << "the programs are no test if none of them runs";
}

}  // namespace
}  // namespace finetune
