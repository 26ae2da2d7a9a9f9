// migrated.toml: any text is a configuration that can be used, or an error with words.
#include <fstream>
#include <sstream>

#include "daemon/configuration.hpp"
#include "fuzz.hpp"

namespace vmigrate::fuzz {

std::vector<ByteBuffer> seeds() {
  // The one that is installed, with every option: once as it is, once with the comments taken off the
  // options.
  std::ifstream file(VMIGRATE_SOURCE_FOLDER "/packaging/migrated.toml");
  std::ostringstream text;
  text << file.rdbuf();
  std::string used = text.str();
  for (std::size_t at = 0; (at = used.find("\n#", at)) != std::string::npos; ++at) {
    if (used.compare(at + 2, 1, " ") != 0) used.erase(at + 1, 1);
  }
  return {seed_of(text.str()), seed_of(used), seed_of("[peers]\nhostb = \"[fd00::2]:16511\"\n"),
          seed_of("[migration]\nmax_pause = \"1m\"\nbandwidth = \"10 Gbit/s\"\nmemory = \"256MiB\"\n")};
}

void check(ByteView input) {
  const auto parsed = daemon::parse_configuration(as_text(input), "migrated.toml");
  if (!parsed) return require(!parsed.error().message.empty(), "an error has words");
  require(!parsed->host.name.empty() && !parsed->peers.contains(parsed->host.name), "a host knows itself");
  require(parsed->migration.max_pause > Milliseconds{0}, "a pause is positive");
  for (const auto& [name, peer] : parsed->peers)
    require(!name.empty() && !peer.host.empty() && peer.port != 0, "a peer has an address");
}

}  // namespace vmigrate::fuzz
