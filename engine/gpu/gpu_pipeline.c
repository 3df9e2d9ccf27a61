#include "gpu/gpu_vk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/gpu_reflect.h"

static const struct tl_shader *find_shader(const char *name)
{
    for (size_t i = 0; i < tl_n_shaders; i++)
        if (strcmp(tl_shaders[i].name, name) == 0) return &tl_shaders[i];
    return NULL;
}

static void kernel_destroy(struct tl_gpu *gpu, struct tl_gpu_kernel *k)
{
    if (k->pipeline) gpu->vk.vkDestroyPipeline(gpu->device, k->pipeline, NULL);
    if (k->layout) gpu->vk.vkDestroyPipelineLayout(gpu->device, k->layout, NULL);
    if (k->set_layout) gpu->vk.vkDestroyDescriptorSetLayout(gpu->device, k->set_layout, NULL);
    free(k);
}

static void take_reflection(struct tl_gpu_kernel *k, const struct tl_gpu_reflection *r)
{
    k->n_bind = r->n_bind;
    k->push_bytes = r->push_bytes;
    for (uint32_t i = 0; i < r->n_bind; i++) {
        k->used[i] = r->kind[i] != TL_GPU_BIND_NONE;
        bool storage = r->kind[i] == TL_GPU_BIND_STORAGE;
        k->type[i] = storage ? VK_DESCRIPTOR_TYPE_STORAGE_BUFFER : VK_DESCRIPTOR_TYPE_UNIFORM_TEXEL_BUFFER;
        k->reads[i] = r->reads[i];
        k->writes[i] = r->writes[i];
    }
}

static bool create_layouts(struct tl_gpu *gpu, struct tl_gpu_kernel *k, struct tl_err *err)
{
    VkDescriptorSetLayoutBinding bindings[TL_GPU_MAX_BIND];
    uint32_t n = 0;
    for (uint32_t i = 0; i < k->n_bind; i++)
        if (k->used[i])
            bindings[n++] = (VkDescriptorSetLayoutBinding){.binding = i,
                                                           .descriptorType = k->type[i],
                                                           .descriptorCount = 1,
                                                           .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    const VkDescriptorSetLayoutCreateInfo set = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
                                                 .bindingCount = n,
                                                 .pBindings = bindings};
    TL_VK(gpu->vk.vkCreateDescriptorSetLayout(gpu->device, &set, NULL, &k->set_layout), err);
    const VkPushConstantRange push = {.stageFlags = VK_SHADER_STAGE_COMPUTE_BIT, .size = k->push_bytes};
    const VkPipelineLayoutCreateInfo layout = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO,
                                               .setLayoutCount = 1,
                                               .pSetLayouts = &k->set_layout,
                                               .pushConstantRangeCount = k->push_bytes ? 1 : 0,
                                               .pPushConstantRanges = &push};
    TL_VK(gpu->vk.vkCreatePipelineLayout(gpu->device, &layout, NULL, &k->layout), err);
    return true;
fail:
    return false;
}

static bool create_pipeline(struct tl_gpu *gpu, struct tl_gpu_kernel *k, const struct tl_shader *shader,
                            struct tl_err *err)
{
    VkShaderModule module = VK_NULL_HANDLE;
    VkSpecializationMapEntry entries[TL_GPU_MAX_SPEC];
    for (uint32_t i = 0; i < k->n_spec; i++)
        entries[i] = (VkSpecializationMapEntry){.constantID = i, .offset = 4 * i, .size = 4};
    const VkSpecializationInfo spec = {.mapEntryCount = (uint32_t)k->n_spec,
                                       .pMapEntries = entries,
                                       .dataSize = 4 * k->n_spec,
                                       .pData = k->spec};
    const VkShaderModuleCreateInfo module_info = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
                                                  .codeSize = 4 * shader->n_words,
                                                  .pCode = shader->words};
    TL_VK(gpu->vk.vkCreateShaderModule(gpu->device, &module_info, NULL, &module), err);
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO,
                  .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                  .module = module,
                  .pName = "main",
                  .pSpecializationInfo = &spec},
        .layout = k->layout,
    };
    TL_VK(gpu->vk.vkCreateComputePipelines(gpu->device, gpu->cache, 1, &info, NULL, &k->pipeline), err);
    gpu->vk.vkDestroyShaderModule(gpu->device, module, NULL);
    return true;
fail:
    if (module) gpu->vk.vkDestroyShaderModule(gpu->device, module, NULL);
    return false;
}

static struct tl_gpu_kernel *kernel_create(struct tl_gpu *gpu, const char *name, const uint32_t *spec,
                                           size_t n_spec, struct tl_err *err)
{
    const struct tl_shader *shader = find_shader(name);
    struct tl_gpu_kernel *k = calloc(1, sizeof *k);
    struct tl_gpu_reflection reflection;
    if (!k || n_spec > TL_GPU_MAX_SPEC) {
        tl_err_set(err, TL_FAIL, k ? "too many specialisation constants" : "out of memory");
        goto fail;
    }
    if (!shader) {
        tl_err_set(err, TL_FAIL, "no such kernel in this build");
        goto fail;
    }
    snprintf(k->name, sizeof k->name, "%.63s", name);
    if (n_spec) memcpy(k->spec, spec, n_spec * sizeof *spec);
    k->n_spec = n_spec;
    if (!tl_gpu_reflect(shader->words, shader->n_words, &reflection, err)) goto fail;
    take_reflection(k, &reflection);
    if (k->push_bytes > TL_GPU_MAX_PUSH || k->push_bytes > gpu->facts.max_push_bytes) {
        tl_err_set(err, TL_DEVICE, "%u bytes of push constants are too many", k->push_bytes);
        goto fail;
    }
    if (!create_layouts(gpu, k, err) || !create_pipeline(gpu, k, shader, err)) goto fail;
    return k;
fail:
    tl_err_add(err, "kernel %s", name);
    if (k) kernel_destroy(gpu, k);
    return NULL;
}

const struct tl_gpu_kernel *tl_gpu_kernel_get(struct tl_gpu *gpu, const char *name, const uint32_t *spec,
                                              size_t n_spec, struct tl_err *err)
{
    for (struct tl_gpu_kernel *k = gpu->kernels; k; k = k->next)
        if (k->n_spec == n_spec && strcmp(k->name, name) == 0 &&
            (n_spec == 0 || memcmp(k->spec, spec, n_spec * sizeof *spec) == 0))
            return k;
    struct tl_gpu_kernel *k = kernel_create(gpu, name, spec, n_spec, err);
    if (!k) return NULL;
    k->next = gpu->kernels;
    gpu->kernels = k;
    return k;
}

const char *tl_gpu_kernel_name(const struct tl_gpu_kernel *kernel)
{
    return kernel->name;
}

void tl_gpu_kernels_finish(struct tl_gpu *gpu)
{
    while (gpu->kernels) {
        struct tl_gpu_kernel *next = gpu->kernels->next;
        kernel_destroy(gpu, gpu->kernels);
        gpu->kernels = next;
    }
}
