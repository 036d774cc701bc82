"""Bytes between devices, counted in programs written by hand and in programs compiled here."""

import doctest
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import traffic
from drawn_weights import drawn_variables
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from traffic import Collective, bytes_of, collectives, expected_bytes, total_bytes

from vae_jax.models import create_model, get_spec
from vae_jax.objectives import loss_of
from vae_jax.optim import make_optimizer
from vae_jax.training.devices import make_parallel
from vae_jax.training.state import create_state
from vae_jax.training.step import Inputs, make_train_step

NAME = "digits_ae"

PROGRAM = """
HloModule step, is_scheduled=true, num_partitions=8

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %s = f32[] add(%a, %b)
}

%body (carry: (s32[], f32[4])) -> (s32[], f32[4]) {
  %carry = (s32[], f32[4]{0}) parameter(0)
  %i = s32[] get-tuple-element(%carry), index=0
  %v = f32[4]{0} get-tuple-element(%carry), index=1
  %moved = f32[4]{0} collective-permute(%v), source_target_pairs={{0,1},{1,0}}
  ROOT %next = (s32[], f32[4]{0}) tuple(%i, %moved)
}

%test (carry.1: (s32[], f32[4])) -> pred[] {
  %carry.1 = (s32[], f32[4]{0}) parameter(0)
  ROOT %more = pred[] constant(true)
}

%wrapped (part: f32[16]) -> f32[2] {
  %part = f32[16]{0} parameter(0)
  ROOT %scattered = f32[2]{0} reduce-scatter(%part), replica_groups=[1,8]<=[8], to_apply=%add
}

%yes (t: f32[6]) -> f32[6] {
  %t = f32[6]{0} parameter(0)
  ROOT %told = f32[6]{0} all-reduce(%t), replica_groups={}, to_apply=%add
}

%no (f: f32[6]) -> f32[6] {
  ROOT %f = f32[6]{0} parameter(0)
}

ENTRY %main (x: f32[2,3], y: bf16[5], z: f32[16], w: f32[6], c: pred[]) -> f32[2,3] {
  %x = f32[2,3]{1,0:T(8,128)} parameter(0), sharding={replicated}
  %y = bf16[5]{0} parameter(1)
  %z = f32[16]{0} parameter(2)
  %w = f32[6]{0} parameter(3)
  %c = pred[] parameter(4)
  %both = (f32[2,3]{1,0}, /*index=1*/bf16[5]{0}) all-reduce(%x, /*index=1*/%y), \
replica_groups={{0,1,2,3},{4,5,6,7}}, to_apply=%add, metadata={op_name="a(b)/c"}
  %begun = (f32[2,3]{1,0}, f32[4,3]{1,0}) all-gather-start(%x), \
replica_groups=mesh['data'=4,'model'=2] {'model'}, dimensions={0}
  %gathered = f32[4,3]{1,0} all-gather-done(%begun)
  %async = ((f32[16]{0}), f32[2]{0}) async-start(%z), calls=%wrapped
  %done = f32[2]{0} async-done(%async), calls=%wrapped
  %start = (s32[], f32[4]{0}) tuple(%c, %done)
  %looped = (s32[], f32[4]{0}) while(%start), condition=%test, body=%body, \
backend_config={"known_trip_count":{"n":"5"},"known_init_step":{"init":"0","step":"1"}}
  %chosen = f32[6]{0} conditional(%c, %w, %w), true_computation=%yes, false_computation=%no
  ROOT %out = f32[2,3]{1,0} copy(%x)
}
"""


def test_the_examples_hold():
    assert doctest.testmod(traffic) == (0, 3)


def test_every_collective_is_found_once_wherever_it_stands():
    assert collectives(PROGRAM) == [
        Collective("all-reduce", 2 * 3 * 4 + 5 * 2, 4),
        Collective("all-gather", 2 * 3 * 4, 2),
        Collective("reduce-scatter", 16 * 4, 8),
        Collective("collective-permute", 4 * 4, 2, times=5),
        Collective("all-reduce", 6 * 4, 8),
    ]


def test_a_loop_counts_as_often_as_it_is_taken():
    assert total_bytes(collectives(PROGRAM), "collective-permute") == 5 * 16
    assert total_bytes(collectives(PROGRAM)) == 34 + 24 + 64 + 80 + 24


@pytest.mark.parametrize(
    ("kind", "sent"),
    [("all-reduce", 150), ("reduce-scatter", 75), ("all-gather", 300), ("collective-permute", 100)],
)
def test_a_ring_of_four_sends_what_it_must(kind, sent):
    assert Collective(kind, 100, 4).sent == sent


def test_a_ring_of_one_sends_nothing():
    assert Collective("all-reduce", 100, 1).sent == Collective("all-gather", 100, 1).sent == 0


@pytest.mark.parametrize(
    ("shape", "size"),
    [("f32[]", 4), ("s64[3]{0}", 24), ("u4[3]", 2), ("f8e4m3fn[8]{0}", 8), ("(f32[2], u32[])", 12)],
)
def test_the_bytes_of_a_shape(shape, size):
    assert bytes_of(shape) == size


def counted(lowered):
    program = lowered.compile().as_text()
    assert program is not None
    return collectives(program)


def test_a_compiled_psum_is_counted_exactly():
    def both(x):
        return jax.lax.psum({"a": x, "b": x.sum(), "c": x[:3]}, "i")

    found = counted(jax.pmap(both, "i").lower(jnp.ones((8, 5, 7))))
    assert total_bytes(found, "all-reduce") == total_bytes(found) == 4 * (35 + 1 + 21)
    assert {one.group for one in found} == {8}


def test_the_sum_that_a_mesh_needs_is_counted_exactly():
    mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "model"))
    rows = jax.device_put(np.ones((8, 6), np.float32), NamedSharding(mesh, PartitionSpec("data")))
    whole = NamedSharding(mesh, PartitionSpec())
    (one,) = counted(jax.jit(lambda x: x.sum(0), out_shardings=whole).lower(rows))
    assert (one.kind, one.operand, one.group) == ("all-reduce", 6 * 4, 4)


def test_a_loop_of_sums_counts_each_of_them():
    def thrice(x):
        return jax.lax.fori_loop(0, 3, lambda _, y: jax.lax.psum(y, "i") / 8, x)

    found = counted(jax.pmap(thrice, "i").lower(jnp.ones((8, 5))))
    assert total_bytes(found, "all-reduce") == 3 * 20


def test_one_device_sends_nothing():
    assert counted(jax.jit(jnp.sum).lower(jnp.ones(9))) == []


@pytest.mark.slow
@pytest.mark.parametrize("mode", [pytest.param("sharded", marks=pytest.mark.slow), "pmap"])
def test_a_step_sends_its_gradients_and_metrics_and_nothing_else(mode):
    """In the layers of accelerators; those of CPUs gather the windows of images on a mesh."""
    parallel, model, optimizer = make_parallel(mode, 4), create_model(NAME), make_optimizer(NAME)
    state = create_state(model, optimizer, jax.random.key(0), drawn_variables(model))
    state = parallel.put_state(state)
    batch = parallel.put_batch({"image": np.zeros((8, *model.image_shape), np.uint8)})
    spec, axis_name = get_spec(NAME), parallel.axis_name
    loss = loss_of(model.clone(kernels="xla"), spec, spec.recipe, axis_name)
    inputs = Inputs(latent_size=None, axis_name=axis_name)
    train_step: Any = parallel.compile_step(make_train_step(loss, optimizer, inputs))
    program = train_step.lower(state, batch, jax.random.key(1), np.True_).compile().as_text()
    found = collectives(program)
    assert total_bytes(found) == total_bytes(found, "all-reduce")
    assert 0 <= expected_bytes(NAME) - total_bytes(found) <= 8  # metrics that are the same number


def test_what_the_models_should_send():
    assert expected_bytes("digits_vae") == 4 * (116_549 + 3)
    faces = 63_332_411 + 4 * (8 + 16 + 16 + 8) + 3
    assert abs(expected_bytes("face_vae") - 4 * faces) <= 4 * 4 * 48
    halved = expected_bytes("face_vae") - expected_bytes("face_vae", 2)
    assert halved == 4 * (2 * 30_752 * 1024) // 2
