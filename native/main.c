#include "scope.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "serve") == 0) return serve(argc, argv);
  if (argc > 1 && strcmp(argv[1], "enter") == 0) return enter(argc, argv);
  dprintf(2, "This is the scope helper of shepherd, which starts it itself.\n");
  return 2;
}
