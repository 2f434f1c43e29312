#!/bin/sh
# generate-cxx.sh N: a C++ program of about 20 N lines that uses templates and containers, and prints one number when it is run.
exec awk -v count="${1:?usage: generate-cxx.sh N}" 'BEGIN {
    print "#include <algorithm>\n#include <cstdio>\n#include <map>\n#include <memory>\n#include <string>\n#include <vector>"
    print "struct shape { virtual ~shape() = default; virtual unsigned area() const = 0; };"
    for (i = 0; i < count; i++) {
        printf "template <unsigned N> struct box%d final : shape {\n", i
        printf "    std::vector<unsigned> sides;\n    std::string name = \"box number %d of a size that needs memory\";\n", i
        printf "    box%d() { for (unsigned i = 0; i < N + %d; i++) sides.push_back(i * %du); }\n", i, i % 9, i + 3
        printf "    unsigned area() const override {\n        unsigned sum = unsigned(name.size());\n"
        printf "        for (auto side : sides) sum = sum * 31 + side;\n        return sum;\n    }\n};\n"
        printf "static unsigned run%d() {\n    std::map<std::string, std::unique_ptr<shape>> all;\n", i
        printf "    all[\"a\"] = std::make_unique<box%d<%d>>();\n", i, i + 1
        printf "    all[\"b\"] = std::make_unique<box%d<%d>>();\n", i, i + 20
        printf "    std::vector<unsigned> areas;\n    for (auto &[key, value] : all)\n"
        printf "        areas.push_back(value->area() + unsigned(key.size()));\n"
        printf "    std::sort(areas.begin(), areas.end());\n    return areas.front() ^ areas.back();\n}\n"
    }
    print "static unsigned thrown() {\n    try { throw std::string(\"an exception with memory of its own, and more of it\"); }"
    print "    catch (const std::string &text) { return unsigned(text.size()); }\n}"
    print "int main() {\n    unsigned total = thrown();"
    for (i = 0; i < count; i++) printf "    total = total * 7 + run%d();\n", i
    print "    std::printf(\"%u\\n\", total);\n}"
}'
