// The part of Node-API that the addon uses. On Windows the functions are looked up in the running program (node.exe, electron.exe),
// so no import library is needed; elsewhere the loader finds them.
#ifndef LAB_NODE_H
#define LAB_NODE_H

#define NAPI_VERSION 8
#include <node_api.h>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
namespace lab {
template <class Function>
Function Host(const char* name) {
  return reinterpret_cast<Function>(reinterpret_cast<void*>(GetProcAddress(GetModuleHandleW(nullptr), name)));
}
}  // namespace lab
#define LAB_HOST(name) static const auto lab_##name = ::lab::Host<decltype(&::name)>(#name)
LAB_HOST(napi_get_cb_info);
LAB_HOST(napi_get_value_int32);
LAB_HOST(napi_get_value_bool);
LAB_HOST(napi_get_typedarray_info);
LAB_HOST(napi_typeof);
LAB_HOST(napi_throw_type_error);
LAB_HOST(napi_throw_error);
LAB_HOST(napi_create_function);
LAB_HOST(napi_set_named_property);
LAB_HOST(napi_create_string_utf8);
LAB_HOST(napi_create_array_with_length);
LAB_HOST(napi_set_element);
LAB_HOST(napi_create_int32);
LAB_HOST(napi_get_boolean);
LAB_HOST(napi_get_undefined);
LAB_HOST(napi_create_object);
LAB_HOST(napi_add_env_cleanup_hook);
LAB_HOST(napi_create_reference);
LAB_HOST(napi_set_instance_data);
LAB_HOST(napi_get_instance_data);
LAB_HOST(napi_create_double);
LAB_HOST(napi_delete_reference);
LAB_HOST(napi_get_element);
LAB_HOST(napi_get_array_length);
LAB_HOST(napi_create_promise);
LAB_HOST(napi_resolve_deferred);
LAB_HOST(napi_reject_deferred);
LAB_HOST(napi_create_error);
LAB_HOST(napi_create_threadsafe_function);
LAB_HOST(napi_call_threadsafe_function);
LAB_HOST(napi_release_threadsafe_function);
#define napi_get_cb_info lab_napi_get_cb_info
#define napi_get_value_int32 lab_napi_get_value_int32
#define napi_get_value_bool lab_napi_get_value_bool
#define napi_get_typedarray_info lab_napi_get_typedarray_info
#define napi_typeof lab_napi_typeof
#define napi_throw_type_error lab_napi_throw_type_error
#define napi_throw_error lab_napi_throw_error
#define napi_create_function lab_napi_create_function
#define napi_set_named_property lab_napi_set_named_property
#define napi_create_string_utf8 lab_napi_create_string_utf8
#define napi_create_array_with_length lab_napi_create_array_with_length
#define napi_set_element lab_napi_set_element
#define napi_create_int32 lab_napi_create_int32
#define napi_get_boolean lab_napi_get_boolean
#define napi_get_undefined lab_napi_get_undefined
#define napi_create_object lab_napi_create_object
#define napi_add_env_cleanup_hook lab_napi_add_env_cleanup_hook
#define napi_create_reference lab_napi_create_reference
#define napi_set_instance_data lab_napi_set_instance_data
#define napi_get_instance_data lab_napi_get_instance_data
#define napi_create_double lab_napi_create_double
#define napi_delete_reference lab_napi_delete_reference
#define napi_get_element lab_napi_get_element
#define napi_get_array_length lab_napi_get_array_length
#define napi_create_promise lab_napi_create_promise
#define napi_resolve_deferred lab_napi_resolve_deferred
#define napi_reject_deferred lab_napi_reject_deferred
#define napi_create_error lab_napi_create_error
#define napi_create_threadsafe_function lab_napi_create_threadsafe_function
#define napi_call_threadsafe_function lab_napi_call_threadsafe_function
#define napi_release_threadsafe_function lab_napi_release_threadsafe_function
#endif

#endif
