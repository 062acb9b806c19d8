"""PyTorch's API, any array library underneath: `import torchplug as torch`."""

from torchplug_spec import dtypes as _dtypes

from torchplug import ops as _ops
from torchplug import _tensor, autograd, optim
from torchplug._core.declare import DECLARATIONS as _DECLARATIONS
from torchplug._core.device import Device as device
from torchplug._core.layout import (
    channels_last,
    channels_last_3d,
    contiguous_format,
    preserve_format,
    strided,
)
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
from torchplug._tensor import methods as _methods
from torchplug._tensor import operators as _operators
from torchplug.autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)

__version__ = "0.1.0.dev0"

for _name, _declaration in _DECLARATIONS.items():
    if _declaration.public:
        for _known in (_name, *_declaration.aliases):
            globals()[_known] = _declaration.function

_methods.attach()
_operators.attach()

dtype = _dtypes.DType
uint8, int8, int16, int32, int64 = _dtypes.uint8, _dtypes.int8, _dtypes.int16, _dtypes.int32, _dtypes.int64
float16, bfloat16, float32, float64 = _dtypes.float16, _dtypes.bfloat16, _dtypes.float32, _dtypes.float64
complex64, complex128 = _dtypes.complex64, _dtypes.complex128
bool = _dtypes.bool_
short, int, long, half, float, double, cfloat, cdouble = (
    int16, int32, int64, float16, float32, float64, complex64, complex128,
)  # fmt: skip

e = 2.718281828459045
pi = 3.141592653589793
inf = _dtypes.float64.numpy.type("inf").item()
nan = _dtypes.float64.numpy.type("nan").item()
newaxis = None
