"""Ask the memory for values before they are needed, in loops that Numba compiles.

A processor foresees what is read next within a page of 4 KiB. The maps of one channel are short
rows far from each other, and at each the reading would begin anew: half of the memory's speed.
"""

from bncourse.kernels.jit import jit, numba

if numba is None:

    def prefetch(row, i):
        """Nothing: there is no compiled loop to call it."""

else:
    from llvmlite import ir
    from numba.extending import intrinsic

    @intrinsic
    def prefetch(typing, row, i):
        """Bring ``row[i]``, and what lies in the same line of the cache, into the cache."""
        if not isinstance(i, numba.types.Integer):
            return None

        def generate(context, builder, signature, values):
            data = context.make_array(row)(context, builder, values[0]).data
            byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
            function = builder.module.declare_intrinsic(
                "llvm.prefetch",
                [byte],
                ir.FunctionType(ir.VoidType(), [byte, number, number, number]),
            )
            address = builder.bitcast(builder.gep(data, [values[1]]), byte)
            to_read, soon, no_code = number(0), number(3), number(1)
            builder.call(function, [address, to_read, soon, no_code])
            return context.get_dummy_value()

        return numba.types.void(row, numba.types.intp), generate


@jit()
def touch(row):
    """Compiles the above, and no more."""
    prefetch(row, 0)
