"""The table of automatic mixed precision: what every function computes in, per type of device."""

from __future__ import annotations

from torchplug_spec import DType
from torchplug_spec import dtypes as dt

__all__ = [
    "CASTABLE", "DEFAULT_DTYPES", "FLOAT32", "FLOAT32_DTYPE", "LOWER", "PROMOTE", "REFUSED", "policies_of",
]  # fmt: skip

LOWER = "lower"
"""The arguments are cast to the type autocast is on with."""
FLOAT32 = "float32"
"""The arguments are cast to float32."""
FLOAT32_DTYPE = "float32, unless dtype= says otherwise"
"""The first argument is cast to float32 where the call names no dtype."""
PROMOTE = "promote"
"""The arguments are cast to the widest type among them."""
REFUSED = "refused"
"""The function is an error under autocast."""

DEFAULT_DTYPES: dict[str, DType] = {
    "cpu": dt.bfloat16, "cuda": dt.float16, "xpu": dt.float16, "mps": dt.float16, "hpu": dt.bfloat16, "xla": dt.bfloat16,
    "ipu": dt.float16, "mtia": dt.float16, "tpu": dt.bfloat16,
}  # fmt: skip
"""The types of devices that have autocast, with the type it takes unless told."""


def _losses(names: str) -> str:
    return " ".join(f"nn.functional.{name}" for name in names.split())


_PRODUCTS = (
    "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d nn.functional.linear matmul mm bmm addmm baddbmm "
    "addbmm prelu nn.functional.scaled_dot_product_attention linalg.vecdot rnn_tanh rnn_relu lstm rnn_tanh_cell rnn_relu_cell"
)
_LOSSES = _losses(
    "mse_loss smooth_l1_loss huber_loss l1_loss kl_div poisson_nll_loss binary_cross_entropy_with_logits soft_margin_loss "
    "nll_loss cross_entropy hinge_embedding_loss margin_ranking_loss cosine_embedding_loss triplet_margin_loss "
    "multi_margin_loss multilabel_margin_loss"
)

# Functions that PyTorch makes of others are listed where they are one computation here. Names in PyTorch's spelling that
# no declared function has (upsample, reflection_pad1d, max_pool3d) are asked for by the function that does several things.
_CPU = {
    LOWER: f"{_PRODUCTS} nn.functional.affine_grid",
    FLOAT32: f"""
        {_LOSSES} {_losses("binary_cross_entropy ctc_loss grid_sample")}
        max_pool3d {_losses("avg_pool3d adaptive_avg_pool3d adaptive_max_pool3d max_unpool1d max_unpool2d max_unpool3d")}
        {_losses("fractional_max_pool2d fractional_max_pool3d")}
        reflection_pad1d reflection_pad2d replication_pad1d replication_pad2d replication_pad3d
        view_as_complex polar prod quantile nanquantile cdist trace stft geqrf ormqr orgqr lu_solve cholesky cholesky_inverse
        cholesky_solve inverse pinverse qr svd triangular_solve fake_quantize_per_tensor_affine
        linalg.cholesky linalg.cholesky_ex linalg.cond linalg.eig linalg.eigh linalg.eigvals linalg.eigvalsh
        linalg.householder_product linalg.inv linalg.inv_ex linalg.lstsq linalg.matrix_rank linalg.qr linalg.solve linalg.svd
        linalg.svdvals linalg.tensorinv linalg.tensorsolve
        fft.fft fft.ifft fft.fft2 fft.ifft2 fft.fftn fft.ifftn fft.rfft fft.irfft fft.rfft2 fft.irfft2 fft.rfftn fft.irfftn
        fft.hfft fft.ihfft
    """,
    PROMOTE: "stack cat index_copy",
}
_ACCELERATOR = {
    LOWER: f"{_PRODUCTS} mv addmv addr einsum chain_matmul linalg.multi_dot gru gru_cell lstm_cell",
    FLOAT32: f"""
        {_LOSSES} {_losses("multilabel_soft_margin_loss triplet_margin_with_distance_loss softplus")}
        {_losses("lp_pool1d lp_pool2d lp_pool3d local_response_norm normalize")}
        pow square rsqrt reciprocal exp expm1 log log2 log10 log1p tan asin acos sinh cosh erfinv logsumexp
        renorm dist cdist pdist pairwise_distance cosine_similarity layer_norm rms_norm group_norm
        upsample
    """,
    FLOAT32_DTYPE: "sum prod cumsum cumprod softmax log_softmax trapezoid cumulative_trapezoid norm linalg.vector_norm "
    "linalg.matrix_norm linalg.norm",
    PROMOTE: "addcdiv addcmul atan2 bilinear linalg.cross cross dot vdot nn.functional.grid_sample index_put tensordot inner "
    "scatter_add",
    REFUSED: "nn.functional.binary_cross_entropy",
}


def _table(groups: dict[str, str]) -> dict[str, str]:
    return {name: policy for policy, names in groups.items() for name in names.split()}


_TABLES = {"cpu": _table(_CPU), "accelerator": _table(_ACCELERATOR)}

CASTABLE = frozenset().union(*_TABLES.values())
"""The functions that some table names."""


def policies_of(device_type: str) -> dict[str, str]:
    """Returns the policy of every function that autocast touches on a type of device; CUDA's holds for all accelerators."""
    return _TABLES["cpu" if device_type == "cpu" else "accelerator"]
