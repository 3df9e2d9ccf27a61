// Philox 4x32-10 and normals made of it: the text of engine/base/rng.c. Needs lib/math.glsl.
struct RngKey {
    uint seed_low, seed_high, stream, sample_, step_;
};

uvec4 tl_rng_block(RngKey key, uint block)
{
    uint c0 = block, c1 = key.step_, c2 = key.sample_, c3 = key.stream;
    uint k0 = key.seed_low, k1 = key.seed_high;
    for (int round = 0; round < 10; round++) {
        uint p0_high, p0_low, p1_high, p1_low;
        umulExtended(c0, 0xD2511F53u, p0_high, p0_low);
        umulExtended(c2, 0xCD9E8D57u, p1_high, p1_low);
        const uint n0 = p1_high ^ c1 ^ k0, n2 = p0_high ^ c3 ^ k1;
        c0 = n0;
        c1 = p1_low;
        c2 = n2;
        c3 = p0_low;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return uvec4(c0, c1, c2, c3);
}

// 24 bits in the middle of their cell: in (0, 1).
float tl_rng_unit(uint u)
{
    precise float v = (float(u >> 8) + 0.5) * 5.9604644775390625e-8;
    return v;
}

// A pair of normals by Box-Muller.
vec2 tl_rng_pair(uint a, uint b)
{
    precise float square = -2.0 * tl_logf(tl_rng_unit(a));
    const float radius = sqrt(square);
    const vec2 sc = tl_sincos_turn(tl_rng_unit(b));
    return vec2(radius * sc.y, radius * sc.x);
}

vec4 tl_rng_normals(RngKey key, uint block)
{
    const uvec4 w = tl_rng_block(key, block);
    return vec4(tl_rng_pair(w.x, w.y), tl_rng_pair(w.z, w.w));
}
