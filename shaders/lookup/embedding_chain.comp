#version 450
// links [n]: for each id the next place with the same id, or -1; heads [n]: 1 where no earlier place has it (and it is
// inside the table). Looks at places [begin, end) in one run; runs go upwards.
#extension GL_GOOGLE_include_directive : require
#include "lib/lanes.glsl"
layout(push_constant) uniform Push { int n, begin, end, n_rows; } p;
layout(binding = 0) uniform itextureBuffer ids;
layout(binding = 1) buffer Links { int links[]; };
layout(binding = 2) buffer Heads { int heads[]; };

void main()
{
    const int i = int(flat_lane());
    if (i >= p.n) return;
    const int id = texelFetch(ids, i).x;
    int link = -1, head = id >= 0 && id < p.n_rows ? 1 : 0;
    if (p.begin > 0) {
        link = links[i];
        head = heads[i];
    }
    for (int k = p.begin; k < p.end; k++) {
        const bool same = texelFetch(ids, k).x == id;
        link = same && k > i && link < 0 ? k : link;
        head = same && k < i ? 0 : head;
    }
    links[i] = link;
    heads[i] = head;
}
