#include "cli/application.hpp"

int main(int argc, char** argv) {
  return vmigrate::cli::run(argc, argv);
}
