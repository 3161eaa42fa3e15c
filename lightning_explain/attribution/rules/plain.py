"""Operators whose gradient is right under every method: linear ones, and those that only move numbers."""

MOVE = """
    view view_as reshape reshape_as flatten unflatten ravel squeeze unsqueeze transpose t permute movedim moveaxis
    swapaxes swapdims contiguous clone detach expand expand_as repeat repeat_interleave tile getitem setitem select
    narrow split split_with_sizes tensor_split hsplit vsplit dsplit chunk unbind index_select take gather masked_select
    cat concat concatenate stack hstack vstack dstack column_stack roll flip fliplr flipud rot90 unfold fold pad
    pixel_shuffle pixel_unshuffle channel_shuffle diagonal diag diag_embed tril triu unsafe_chunk unsafe_split
    as_strided adjoint mT mH H T to type type_as float double half bfloat16 cpu cuda index_add index_copy
    index_put index_fill scatter scatter_add masked_scatter masked_fill where copy zero fill as_subclass
    broadcast_to broadcast_tensors atleast_1d atleast_2d atleast_3d meshgrid alias lift_fresh view_as_real real
    constant_pad_nd block_diag swapaxes take_along_dim unpool max_unpool1d max_unpool2d max_unpool3d
    native_channel_shuffle resolve_conj resolve_neg positive requires_grad
    pack_padded_sequence pad_packed_sequence
"""

LINEAR = """
    add sub rsub neg negative sum mean nansum nanmean cumsum diff trace
    avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
    linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d conv_tbc batch_norm
    interpolate upsample upsample_nearest upsample_bilinear affine_grid
    dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout
    embedding embedding_bag one_hot sparse_mm radd iadd isub
"""

SILENT = """
    dim size shape numel nelement stride item tolist numpy is_contiguous is_floating_point is_complex storage_offset
    data_ptr backward register_hook retain_grad zeros_like ones_like full_like empty_like rand_like randn_like
    randint_like new_zeros new_ones new_full new_empty new_tensor argmax argmin eq ne lt le gt ge any all isnan isinf
    isfinite logical_and logical_or logical_not nonzero len bool int long index hash repr format iter allclose equal
    get_device element_size untyped_storage storage ceil floor round trunc
"""

PLAIN = frozenset((MOVE + LINEAR + SILENT).split())
"""Names of operators (see :func:`~lightning_explain.attribution.rules.operator.operator_name`)."""

IN_FIRST = {"grid_sampler": (1, "grid")}
"""Operators that are linear in their first argument -> position and name of one that they are not linear in."""
