"""Views that see the same bytes as another type are written through, on every engine."""

from __future__ import annotations

import pytest

import torchplug as torch


def test_a_write_to_the_real_view_of_complex_numbers_reaches_them(backend):
    z = torch.ones(2, 3, dtype=torch.complex64)
    torch.view_as_real(z.t())[0, 0, 1] = 5
    assert z[0, 0].item() == 1 + 5j


def test_a_write_to_the_complex_view_of_pairs_reaches_them(backend):
    pairs = torch.arange(4.0).reshape(2, 2)
    torch.view_as_complex(pairs)[1] = 7j
    assert pairs.tolist() == [[0, 1], [0, 7]]


@pytest.mark.parametrize(("dtype", "seen_as"), [("float32", "int32"), ("bfloat16", "int16"), ("int64", "uint8")])
def test_a_write_to_the_bytes_seen_as_another_type_reaches_them(backend, dtype, seen_as):
    x = torch.ones(4).to(getattr(torch, dtype))
    x.view(getattr(torch, seen_as)).zero_()
    assert x.tolist() == [0] * 4


def test_a_transposed_tensor_can_be_seen_as_another_type_of_one_width(backend):
    x = torch.ones(2, 3)
    x.t().view(torch.int32)[1] = 0
    assert x.tolist() == [[1, 0, 1], [1, 0, 1]]


def test_a_stretched_view_of_a_slice_is_in_the_memory_of_its_base(backend):
    base = torch.arange(24.0).reshape(2, 3, 4)
    assert base[:, :1, :1].expand(2, 5, 4).untyped_storage().data_ptr() == base.untyped_storage().data_ptr()


def test_empty_tensors_have_the_strides_of_c_order(backend):
    assert torch.zeros(0, 3).stride() == (3, 1)
    assert torch.zeros(2, 0, 4).stride() == (4, 4, 1)
    assert torch.zeros(0, 3).t().stride() == (1, 3)
