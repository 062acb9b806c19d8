"""PyTorch's API, any array library underneath: `import torchplug as torch`."""

import builtins as _builtins
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

# Importing the families fills the table of declarations, which all that follows reads.
from torchplug import ops as _ops

# isort: split
from torchplug import _tensor, autograd, backends, cuda, random, return_types, version
from torchplug._compile import compile
from torchplug._core.declare import DECLARATIONS as _DECLARATIONS
from torchplug._core.device import Device as device
from torchplug._core.layout import Layout as layout
from torchplug._core.layout import MemoryFormat as memory_format
from torchplug._core.layout import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    preserve_format,
    sparse_coo,
    strided,
)
from torchplug._core.limits import finfo, iinfo
from torchplug._core.matmul_precision import get_float32_matmul_precision, set_float32_matmul_precision
from torchplug._core.modes import default_dtype as get_default_dtype
from torchplug._core.modes import set_default_dtype
from torchplug._core.printing import set_printoptions
from torchplug._core.promotion import can_cast, promote_types, result_type
from torchplug._core.random import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)
from torchplug._core.selection import get_backend, set_backend, set_default_device, use_backend
from torchplug._core.size import Size
from torchplug._core.tensor import Tensor
from torchplug._core.threads import get_num_interop_threads, get_num_threads, set_num_interop_threads, set_num_threads
from torchplug._tensor import methods as _methods
from torchplug._tensor import operators as _operators
from torchplug._tensor.typed import TYPED as _TYPED
from torchplug.autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)

# Matrices are dense here: their sparse products are products.
from torchplug.ops.products import mm as dsmm
from torchplug.ops.products import mm as spmm
from torchplug.torch_alias import as_torch
from torchplug_spec import dtypes as _dtypes

__version__ = version.__version__

for _name, _declaration in _DECLARATIONS.items():
    if _declaration.public:
        for _known in (_name, *_declaration.aliases):
            globals()[_known] = _declaration.function
globals().update(_TYPED["cpu"])

_methods.attach()
_operators.attach()

# Layers stand on finished tensors: they come after the methods are attached.
from torchplug import amp, cpu, nn, optim, special, storage, utils  # noqa: E402
from torchplug.amp.autocast_mode import autocast  # noqa: E402
from torchplug.amp.switches import (  # noqa: E402
    autocast_decrement_nesting,
    autocast_increment_nesting,
    clear_autocast_cache,
    get_autocast_cpu_dtype,
    get_autocast_dtype,
    get_autocast_gpu_dtype,
    get_autocast_ipu_dtype,
    get_autocast_xla_dtype,
    is_autocast_cache_enabled,
    is_autocast_cpu_enabled,
    is_autocast_enabled,
    is_autocast_ipu_enabled,
    is_autocast_xla_enabled,
    set_autocast_cache_enabled,
    set_autocast_cpu_dtype,
    set_autocast_cpu_enabled,
    set_autocast_dtype,
    set_autocast_enabled,
    set_autocast_gpu_dtype,
    set_autocast_ipu_dtype,
    set_autocast_ipu_enabled,
    set_autocast_xla_dtype,
    set_autocast_xla_enabled,
)
from torchplug.explaining import compare, explain  # noqa: E402
from torchplug.serialization import load, save  # noqa: E402
from torchplug.storage import TypedStorage, UntypedStorage  # noqa: E402

e = 2.718281828459045
pi = 3.141592653589793
inf = _builtins.float("inf")
nan = _builtins.float("nan")
newaxis = None

# From here on some names of Python's builtins mean PyTorch's dtypes in this module.
dtype = _dtypes.DType
uint8, int8, int16, int32, int64 = _dtypes.uint8, _dtypes.int8, _dtypes.int16, _dtypes.int32, _dtypes.int64
float16, bfloat16, float32, float64 = _dtypes.float16, _dtypes.bfloat16, _dtypes.float32, _dtypes.float64
complex64, complex128 = _dtypes.complex64, _dtypes.complex128
short, int, long, half, float, double, cfloat, cdouble = (
    int16, int32, int64, float16, float32, float64, complex64, complex128,
)  # fmt: skip
bool = _dtypes.bool_

if _TYPE_CHECKING:

    def __getattr__(name: str) -> _Any: ...  # the declared functions

else:
    # Ops of plugins that TORCHPLUG_PLUGINS selects are there when they are first asked for, not when this is imported.
    from torchplug._tensor.plugin_ops import missing_name as __getattr__
