"""What is known of PostgreSQL's settings by their names (guc_tables.c), all in lower case."""

from __future__ import annotations

__all__ = ["NOT_PARSED", "OF_TRANSACTION", "SURE", "decides_parsing"]

# What can't fail where it was set once: PostgreSQL judges these by their value alone. Custom settings are of the kind,
# too, as long as no library claims their prefix.
SURE = frozenset(
    """
    application_name array_nulls backend_flush_after backslash_quote bytea_output check_function_bodies client_encoding
    client_min_messages constraint_exclusion cpu_index_tuple_cost cpu_operator_cost cpu_tuple_cost
    cursor_tuple_fraction datestyle default_statistics_target default_transaction_deferrable
    default_transaction_isolation default_transaction_read_only effective_cache_size enable_async_append
    enable_bitmapscan enable_gathermerge enable_group_by_reordering enable_hashagg enable_hashjoin
    enable_incremental_sort
    enable_indexonlyscan enable_indexscan enable_material enable_memoize enable_mergejoin enable_nestloop
    enable_parallel_append enable_parallel_hash enable_partition_pruning enable_partitionwise_aggregate
    enable_partitionwise_join enable_presorted_aggregate enable_seqscan enable_sort enable_tidscan escape_string_warning
    exit_on_error extra_float_digits from_collapse_limit geqo geqo_effort geqo_generations geqo_pool_size geqo_seed
    geqo_selection_bias geqo_threshold gin_fuzzy_search_limit gin_pending_list_limit hash_mem_multiplier
    idle_in_transaction_session_timeout idle_session_timeout intervalstyle jit jit_above_cost jit_expressions
    jit_inline_above_cost jit_optimize_above_cost jit_tuple_deforming join_collapse_limit lock_timeout
    log_parameter_max_length_on_error logical_decoding_work_mem maintenance_work_mem max_parallel_maintenance_workers
    max_parallel_workers max_parallel_workers_per_gather min_parallel_index_scan_size min_parallel_table_scan_size
    parallel_leader_participation parallel_setup_cost parallel_tuple_cost password_encryption plan_cache_mode
    quote_all_identifiers random_page_cost recursive_worktable_factor row_security search_path seq_page_cost
    standard_conforming_strings statement_timeout synchronize_seqscans synchronous_commit tcp_keepalives_count
    tcp_keepalives_idle tcp_keepalives_interval tcp_user_timeout timezone transaction_timeout transform_null_equals
    vacuum_buffer_usage_limit vacuum_cost_delay vacuum_cost_limit vacuum_cost_page_dirty vacuum_cost_page_hit
    vacuum_cost_page_miss work_mem xmlbinary xmloption
    """.split()
)

# What has no part in what a statement means, once it is parsed: timeouts, what is logged, names, costs. A statement
# that was prepared under one of these can be run under another.
NOT_PARSED = SURE - frozenset(
    """
    array_nulls backslash_quote bytea_output client_encoding datestyle escape_string_warning extra_float_digits
    intervalstyle quote_all_identifiers row_security search_path standard_conforming_strings timezone
    transform_null_equals xmlbinary xmloption
    """.split()
)

OF_TRANSACTION = frozenset(["transaction_deferrable", "transaction_isolation", "transaction_read_only"])
"""They are the transaction's, however they are set."""


def decides_parsing(name: str) -> bool:
    """Say whether a statement may mean something else when it is parsed under another value of this setting.

    Custom settings count as not: only a function that is falsely declared immutable can make them part of a plan.
    """
    return "." not in name and name not in NOT_PARSED
