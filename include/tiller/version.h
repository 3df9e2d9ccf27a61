/* The version of library and program, as in CMakeLists.txt (a test compares them). */
#ifndef TILLER_VERSION_H
#define TILLER_VERSION_H

#define TL_VERSION "0.1.0"

#endif
