// The table of kernels, as the addon's entry reads it.
#ifndef LAB_REGISTRY_H
#define LAB_REGISTRY_H

#include <vector>

#include "lab.h"

namespace lab {

struct Entry {
  const char* name;
  Kernel kernel;
  Able able;  // may be null: no argument
};
/// In the order of registration: the index is the number by which JavaScript calls.
std::vector<Entry>& Entries();

}  // namespace lab

#endif
