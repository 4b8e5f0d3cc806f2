/* The same program as C++17. */
#include "test_public_header.c"
