#include "audit/chain.hpp"

#include <array>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>
#include <openssl/evp.h>

namespace vmigrate::audit {
namespace {

// Whoever has changed everything need not be told so entry by entry.
constexpr std::size_t kMostFindings = 100;

std::string range(std::uint64_t first, std::uint64_t last) {
  return first == last ? fmt::format("entry {} is", first) : fmt::format("entries {} to {} are", first, last);
}

}  // namespace

std::string first_link() {
  return std::string(64, '0');
}

std::string hash_of(const std::string& previous, const std::string& text) {
  const std::string input = previous + "\n" + text;
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  // It fails only where the library has no SHA-256, or no memory.
  if (::EVP_Digest(input.data(), input.size(), digest.data(), &size, ::EVP_sha256(), nullptr) != 1)
    std::abort();
  std::string digits;
  for (unsigned int i = 0; i < size; ++i) digits += fmt::format("{:02x}", digest[i]);
  return digits;
}

void ChainCheck::found(std::string finding) {
  if (findings_.size() < kMostFindings)
    findings_.push_back(std::move(finding));
  else
    ++left_out_;
}

void ChainCheck::add(const Row& row) {
  ++entries_;
  look_at_number(row);
  look_at_text(row);
  compare(row);
  if (!first_) first_ = row;
  head_ = Head{row.number, row.hash};
}

void ChainCheck::look_at_number(const Row& row) {
  if (!head_ || row.number == head_->number + 1) return;
  found(row.number > head_->number + 1
            ? range(head_->number + 1, row.number - 1) + " missing"
            : fmt::format("entry {} stands behind entry {}", row.number, head_->number));
}

void ChainCheck::look_at_text(const Row& row) {
  const auto entry = parse_entry(row.text);
  if (!entry) {
    found(fmt::format("entry {} cannot be read: {}", row.number, entry.error().message));
  } else if (entry->number != row.number) {
    found(fmt::format("entry {} was written as entry {}", row.number, entry->number));
  } else if (entry->action == "trim" && entry->head) {
    trimmed_ = entry->head;
  }
  // What the first one follows is known at the end.
  if (head_ && hash_of(head_->hash, row.text) != row.hash) {
    found(fmt::format("entry {} is not what was written, or does not follow what stands before it",
                      row.number));
  }
}

void ChainCheck::compare(const Row& row) {
  for (auto [at, end] = witnessed_.equal_range(row.number); at != end; ++at) {
    auto& [what, met] = at->second;
    met = true;
    if (what.head.hash == row.hash) {
      ++agreeing_;
    } else {
      found(fmt::format(
          "entry {} is another one than {} was told of: it, or what stands before it, was changed",
          row.number, what.host));
    }
  }
}

void ChainCheck::look_at_beginning() {
  if (!first_) return;
  const bool trimmed = trimmed_ && trimmed_->number + 1 == first_->number;
  if (first_->number > 1 && !trimmed) {
    found(range(1, first_->number - 1) + " missing, and no entry says that they were removed for their age");
    return;
  }
  const std::string previous = trimmed ? trimmed_->hash : first_link();
  if (hash_of(previous, first_->text) != first_->hash)
    found(fmt::format("entry {} is not what was written", first_->number));
}

void ChainCheck::finish(const std::optional<Head>& written) {
  look_at_beginning();
  const std::uint64_t last = head_ ? head_->number : 0;
  if (written && written->number > last) {
    found(range(last + 1, written->number) + " missing at the end: this daemon has written them");
  } else if (written && written != head_) {
    found(fmt::format("entry {} is the last, but not the one that this daemon has written", last));
  }
  for (const auto& [number, expected] : witnessed_) {
    const auto& [what, met] = expected;
    if (met) continue;
    if (first_ && what.head.number < first_->number) {
      ++too_old_;
    } else {
      found(fmt::format("entry {} is missing: {} was told of it", what.head.number, what.host));
    }
  }
  if (left_out_ > 0) findings_.push_back(fmt::format("and {} more findings of these kinds", left_out_));
}

}  // namespace vmigrate::audit
