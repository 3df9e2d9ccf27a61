/* The Khronos validation layer, on by TILLER_VALIDATE=1: every warning and error is counted and logged. */
#include "gpu/gpu_vk.h"

#include <stdlib.h>
#include <string.h>

#include <tiller/log.h>

bool tl_gpu_validation_available(void)
{
    VkLayerProperties layers[64];
    uint32_t n = 64;
    VkResult r = vkEnumerateInstanceLayerProperties(&n, layers);
    if (r != VK_SUCCESS && r != VK_INCOMPLETE) return false;
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(layers[i].layerName, "VK_LAYER_KHRONOS_validation") == 0) return true;
    return false;
}

static VKAPI_ATTR VkBool32 VKAPI_CALL on_message(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                                 VkDebugUtilsMessageTypeFlagsEXT types,
                                                 const VkDebugUtilsMessengerCallbackDataEXT *data, void *user)
{
    struct tl_gpu *gpu = user;
    (void)types;
    atomic_fetch_add(&gpu->validation_messages, 1);
    tl_log(severity & VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT ? TL_LOG_ERROR : TL_LOG_WARN,
           "vulkan validation: %s", data->pMessage ? data->pMessage : "(no text)");
    return VK_FALSE;
}

void tl_gpu_validation_attach(struct tl_gpu *gpu)
{
    VkDebugUtilsMessengerCreateInfoEXT info = {
        .sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT,
        .messageSeverity =
            VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT,
        .messageType = VK_DEBUG_UTILS_MESSAGE_TYPE_GENERAL_BIT_EXT |
                       VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT |
                       VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT,
        .pfnUserCallback = on_message,
        .pUserData = gpu,
    };
    if (vkCreateDebugUtilsMessengerEXT(gpu->instance, &info, NULL, &gpu->messenger) != VK_SUCCESS)
        tl_log(TL_LOG_WARN, "vulkan validation: the message callback could not be installed");
}

void tl_gpu_validation_detach(struct tl_gpu *gpu)
{
    if (gpu->messenger) vkDestroyDebugUtilsMessengerEXT(gpu->instance, gpu->messenger, NULL);
    gpu->messenger = VK_NULL_HANDLE;
}

uint64_t tl_gpu_validation_count(const struct tl_gpu *gpu)
{
    return atomic_load(&gpu->validation_messages);
}

bool tl_gpu_validation_on(const struct tl_gpu *gpu)
{
    return gpu->validating;
}
