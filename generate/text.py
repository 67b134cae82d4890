# SPDX-License-Identifier: Apache-2.0
"""Pieces of C++ that several emitters write."""

from __future__ import annotations

from model import Call, Parameter

HEAD = '// SPDX-License-Identifier: Apache-2.0\n// Generated from include/cubar/api by generate/.\n'

# All 637 functions are declared, under their own names, only so.
CUDA = ('#ifndef __CUDA_API_VERSION_INTERNAL\n#define __CUDA_API_VERSION_INTERNAL\n#endif\n'
        '#include <cuda.h>\n#include <cudaProfiler.h>\n')

EXPORT = 'extern "C" __attribute__((visibility("default"))) CUresult'


def c_type(parameter: Parameter) -> str:
    return parameter.c_type.replace(' *', '*').replace(' **', '**')


def declaration(parameter: Parameter) -> str:
    return f'{c_type(parameter)} {parameter.name}'


def parameter_list(call: Call, named: bool = True) -> str:
    return ', '.join(declaration(p) if named else c_type(p) for p in call.parameters)


def pointer_type(call: Call) -> str:
    return f'CUresult (*)({parameter_list(call, named=False)})'
