// The tile of GPUs: a workgroup of 256 makes TILE x TILE outputs through shared memory, a lane MICRO x MICRO of them.
// The including shader gives, with A_ALONG_K and B_ALONG_K 0 or 1,
//   vec4 load_a(int row, int k)   4 values along k of row `row`, or (0) along the rows from `row` on at k
//   vec4 load_b(int col, int k)   the same for columns
// each 0 where there is nothing; and void store(int row, int col, vec4 v) for four neighbouring columns.
#ifndef TILE
#define TILE 64
#endif
#define MICRO (TILE / 16)
#define STEP 16
#define LOADS (TILE * STEP / 4 / 256)

layout(local_size_x = 256) in;
shared float tile_a[STEP][TILE + 4];
shared float tile_b[STEP][TILE + 4];

void load_tiles(int lane, int row0, int col0, int k0)
{
    for (int i = 0; i < LOADS; i++) {
        const int at = lane + 256 * i;
        const int along = at / (STEP / 4), k_along = 4 * (at % (STEP / 4));
        const int across = 4 * (at % (TILE / 4)), k_across = at / (TILE / 4);
#if A_ALONG_K
        const vec4 a = load_a(row0 + along, k0 + k_along);
        for (int j = 0; j < 4; j++) tile_a[k_along + j][along] = a[j];
#else
        const vec4 a = load_a(row0 + across, k0 + k_across);
        for (int j = 0; j < 4; j++) tile_a[k_across][across + j] = a[j];
#endif
#if B_ALONG_K
        const vec4 b = load_b(col0 + along, k0 + k_along);
        for (int j = 0; j < 4; j++) tile_b[k_along + j][along] = b[j];
#else
        const vec4 b = load_b(col0 + across, k0 + k_across);
        for (int j = 0; j < 4; j++) tile_b[k_across][across + j] = b[j];
#endif
    }
}

// Sums k_begin .. k_end - 1; both are the same for the whole workgroup.
void run_tile(int row0, int col0, int k_begin, int k_end)
{
    const int lane = int(gl_LocalInvocationID.x);
    const int ty = lane / 16, tx = lane % 16;
    float acc[MICRO][MICRO];
    for (int i = 0; i < MICRO; i++)
        for (int j = 0; j < MICRO; j++) acc[i][j] = 0.0;
    for (int k0 = k_begin; k0 < k_end; k0 += STEP) {
        load_tiles(lane, row0, col0, k0);
        barrier();
        for (int k = 0; k < STEP; k++) {
            float a[MICRO], b[MICRO];
            for (int i = 0; i < MICRO; i++) a[i] = tile_a[k][(i / 4) * 64 + 4 * ty + i % 4];
            for (int j = 0; j < MICRO; j++) b[j] = tile_b[k][(j / 4) * 64 + 4 * tx + j % 4];
            for (int i = 0; i < MICRO; i++)
                for (int j = 0; j < MICRO; j++) acc[i][j] += a[i] * b[j];
        }
        barrier();
    }
    for (int i = 0; i < MICRO; i++)
        for (int j = 0; j < MICRO; j += 4)
            store(row0 + (i / 4) * 64 + 4 * ty + i % 4, col0 + (j / 4) * 64 + 4 * tx,
                  vec4(acc[i][j], acc[i][j + 1], acc[i][j + 2], acc[i][j + 3]));
}
