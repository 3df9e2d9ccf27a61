#include "models/lora_sgm.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *ours, *theirs;
} fixed[] = {
    {"conv_in", "input_blocks.0.0"},
    {"time_embedding.linear_1", "time_embed.0"},
    {"time_embedding.linear_2", "time_embed.2"},
    {"add_embedding.linear_1", "label_emb.0.0"},
    {"add_embedding.linear_2", "label_emb.0.2"},
    {"conv_out", "out.2"},
};

/* Inside a resnet; norms carry no adapter. */
static const struct {
    const char *ours, *theirs;
} resnet[] = {
    {"conv1", "in_layers.2"},
    {"time_emb_proj", "emb_layers.1"},
    {"conv2", "out_layers.3"},
    {"conv_shortcut", "skip_connection"},
};

static bool has(const struct tl_store_layout *l, const char *fmt, int i, int j)
{
    char name[128];
    snprintf(name, sizeof name, fmt, i, j);
    return tl_store_layout_find(l, name) != NULL;
}

int tl_lora_sgm_layers(const struct tl_store_layout *l)
{
    int n = 0;
    while (n < 64 && has(l, "down_blocks.%d.resnets.%d.conv1.weight", 0, n)) n++;
    return n;
}

/* "BLOCK.PLACE.rest": what stands behind a resnet or an attention. */
static bool inside(const char *group, const char *place, const char *rest, char *out, size_t size)
{
    if (strcmp(group, "attentions") == 0) {
        snprintf(out, size, "%s.%s", place, rest);
        return true;
    }
    for (size_t i = 0; i < sizeof resnet / sizeof *resnet; i++)
        if (strcmp(rest, resnet[i].ours) == 0) {
            snprintf(out, size, "%s.%s", place, resnet[i].theirs);
            return true;
        }
    return false;
}

bool tl_lora_sgm_name(const struct tl_store_layout *l, int layers, const struct tl_store_entry *entry,
                      char *out, size_t size)
{
    char name[512], group[32], rest[512], place[64];
    int i, j;
    snprintf(name, sizeof name, "%.*s", (int)(strlen(entry->name) - strlen(".weight")), entry->name);
    for (size_t k = 0; k < sizeof fixed / sizeof *fixed; k++)
        if (strcmp(name, fixed[k].ours) == 0) {
            snprintf(out, size, "%s", fixed[k].theirs);
            return true;
        }
    int blocks = layers + 1; /* of the original, to one of ours */
    if (sscanf(name, "mid_block.%31[a-z].%d.%511s", group, &j, rest) == 3) {
        int at = strcmp(group, "attentions") == 0 ? 1 : 2 * j;
        snprintf(place, sizeof place, "middle_block.%d", at);
        return inside(group, place, rest, out, size);
    }
    if (sscanf(name, "down_blocks.%d.%31[a-z].%d.%511s", &i, group, &j, rest) == 4) {
        if (strcmp(group, "downsamplers") == 0) {
            snprintf(out, size, "input_blocks.%d.0.op", blocks * i + blocks);
            return true;
        }
        snprintf(place, sizeof place, "input_blocks.%d.%d", blocks * i + j + 1,
                 strcmp(group, "attentions") == 0);
        return inside(group, place, rest, out, size);
    }
    if (sscanf(name, "up_blocks.%d.%31[a-z].%d.%511s", &i, group, &j, rest) == 4) {
        if (strcmp(group, "upsamplers") == 0) {
            bool attention = has(l, "up_blocks.%d.attentions.%d.proj_in.weight", i, 0);
            snprintf(out, size, "output_blocks.%d.%d.conv", blocks * i + layers, attention ? 2 : 1);
            return true;
        }
        snprintf(place, sizeof place, "output_blocks.%d.%d", blocks * i + j,
                 strcmp(group, "attentions") == 0);
        return inside(group, place, rest, out, size);
    }
    return false;
}
