/* misuse: the case that is being played, for scene.c. */
#ifndef MISUSE_MISUSE_H
#define MISUSE_MISUSE_H

#include "scene.h"

extern const struct misuse_case *misuse_playing;

#endif
