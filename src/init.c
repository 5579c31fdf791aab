/* init.c: the table of entry points. One row an ffi_ function, sorted within its module. */
#define R_NO_REMAP
#include <R.h>
#include <R_ext/Rdynload.h>
#include <R_ext/Visibility.h>
#include <Rinternals.h>

#include "proc_reap.h"
#include "proc_worker.h"

/* array */
SEXP ffi_array_dtype(SEXP);
SEXP ffi_array_is(SEXP);
SEXP ffi_array_live(void);
SEXP ffi_array_nbytes(SEXP);
SEXP ffi_array_new(SEXP, SEXP, SEXP);
SEXP ffi_array_pointer(SEXP);
SEXP ffi_array_put(SEXP, SEXP);
SEXP ffi_array_shape(SEXP);
SEXP ffi_array_touch(SEXP);
SEXP ffi_text_dtype(SEXP);
SEXP ffi_text_encoding(SEXP);
SEXP ffi_text_marked(SEXP);
SEXP ffi_copy_atomic(SEXP, SEXP);
SEXP ffi_copy_shared(SEXP);
SEXP ffi_array_address(SEXP);
SEXP ffi_array_bytes(SEXP);
SEXP ffi_array_where(SEXP);
SEXP ffi_memmap_flush(SEXP);
SEXP ffi_memmap_new(SEXP, SEXP, SEXP, SEXP, SEXP);

/* map */
SEXP ffi_constants(void);
SEXP ffi_critical(SEXP, SEXP, SEXP, SEXP);
SEXP ffi_lock(SEXP, SEXP, SEXP, SEXP);
SEXP ffi_lock_held(SEXP);
SEXP ffi_lock_init(SEXP);
SEXP ffi_map_alive(SEXP);
SEXP ffi_map_drive(SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP ffi_map_end(SEXP);
SEXP ffi_map_mine(SEXP);
SEXP ffi_map_new(SEXP, SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP ffi_map_pids(SEXP);
SEXP ffi_map_results(SEXP);
SEXP ffi_map_shape(SEXP);
SEXP ffi_map_share(SEXP);
SEXP ffi_map_spawn(SEXP, SEXP, SEXP);
SEXP ffi_remote_common(SEXP, SEXP);
SEXP ffi_remote_common_nbytes(SEXP);
SEXP ffi_remote_digest(SEXP);
SEXP ffi_remote_done(SEXP);
SEXP ffi_remote_item(SEXP, SEXP, SEXP);
SEXP ffi_remote_left(SEXP, SEXP, SEXP);
SEXP ffi_remote_is_ordered(SEXP);
SEXP ffi_remote_part(SEXP, SEXP, SEXP, SEXP);
SEXP ffi_remote_pass(SEXP, SEXP, SEXP);
SEXP ffi_remote_results(SEXP, SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP ffi_remote_stop(SEXP);
SEXP ffi_map_spawn_served(SEXP);
SEXP ffi_ordered(SEXP, SEXP, SEXP, SEXP);
SEXP ffi_node_join(SEXP, SEXP, SEXP, SEXP);
SEXP ffi_node_new(SEXP, SEXP, SEXP);
SEXP ffi_node_spawn(SEXP, SEXP, SEXP);
SEXP ffi_node_spawn_served(SEXP);
SEXP ffi_node_end(SEXP);
SEXP ffi_node_pids(SEXP);
SEXP ffi_node_give(SEXP, SEXP, SEXP);
SEXP ffi_node_answer(SEXP);
SEXP ffi_node_take(SEXP);
SEXP ffi_node_reply(SEXP, SEXP);
SEXP ffi_private_bytes(void);
SEXP ffi_util_dress(SEXP, SEXP);
SEXP ffi_util_inheriting(SEXP, SEXP);
SEXP ffi_util_rebind(SEXP, SEXP, SEXP);
SEXP ffi_output_silence(SEXP);
SEXP ffi_rng_base(SEXP);
SEXP ffi_rng_shift(SEXP, SEXP);
SEXP ffi_rng_stream(SEXP, SEXP);
SEXP ffi_rng_swap(SEXP);
SEXP ffi_rng_parallel(SEXP);
SEXP ffi_rng_touch(SEXP);
SEXP ffi_threads_find(void);
SEXP ffi_team_guard_exit(void);
SEXP ffi_team_quit(SEXP);
SEXP ffi_test_kill_at(SEXP);
SEXP ffi_worker_end(void);
SEXP ffi_worker_loop(SEXP, SEXP);
SEXP ffi_worker_send(SEXP, SEXP, SEXP, SEXP);
SEXP ffi_worker_stop_all(void);
SEXP ffi_worker_returned(void);
SEXP ffi_worker_setup(SEXP, SEXP);
SEXP ffi_worker_suppress(SEXP);

/* index */
SEXP ffi_array_about(SEXP);
SEXP ffi_array_dim(SEXP);
SEXP ffi_array_length(SEXP);
SEXP ffi_array_meta(SEXP);
SEXP ffi_array_reshape(SEXP, SEXP, SEXP, SEXP);
SEXP ffi_index_by_stretches(SEXP, SEXP);
SEXP ffi_index_get(SEXP, SEXP, SEXP);
SEXP ffi_index_get_all(SEXP, SEXP, SEXP);
SEXP ffi_index_get_element(SEXP, SEXP);
SEXP ffi_index_get_many(SEXP, SEXP, SEXP);
SEXP ffi_index_set(SEXP, SEXP, SEXP, SEXP);
SEXP ffi_index_set_element(SEXP, SEXP, SEXP, SEXP);
SEXP ffi_index_set_many(SEXP, SEXP, SEXP);
SEXP ffi_index_stretch(SEXP, SEXP);
SEXP ffi_index_writes(SEXP);

/* view, atomic */
SEXP ffi_array_plain(SEXP, SEXP);
SEXP ffi_atomic_add(SEXP, SEXP, SEXP);
SEXP ffi_view_bytes(SEXP);
SEXP ffi_view_new(SEXP, SEXP, SEXP);
void r_array_register(DllInfo *);
void r_view_register(DllInfo *);

/* moved vectors */
void r_move_register(DllInfo *);
void r_strings_register(DllInfo *);
void r_pooled_register(DllInfo *);
/* trace */
SEXP ffi_trace_open(SEXP, SEXP, SEXP);
SEXP ffi_binding_kinds(SEXP, SEXP);
SEXP ffi_file_lines(SEXP);
SEXP ffi_here_loop(SEXP, SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP ffi_here_since(SEXP);
SEXP ffi_here_leave(SEXP, SEXP);
SEXP ffi_trace_read(SEXP);
SEXP ffi_progress_clear(void);
SEXP ffi_progress_shown(SEXP, SEXP);
SEXP ffi_progress_width(void);
SEXP ffi_progress_wanted(SEXP);

/* fork server */
SEXP ffi_job_adopt(SEXP, SEXP, SEXP);
SEXP ffi_job_answer(SEXP);
SEXP ffi_job_dress(SEXP, SEXP);
SEXP ffi_job_end(SEXP);
SEXP ffi_job_give(SEXP, SEXP, SEXP);
SEXP ffi_job_hand(SEXP, SEXP, SEXP);
SEXP ffi_job_join(SEXP, SEXP);
SEXP ffi_job_memory(void);
SEXP ffi_job_new(SEXP, SEXP, SEXP);
SEXP ffi_job_reply(SEXP);
SEXP ffi_job_serve(SEXP, SEXP, SEXP);
SEXP ffi_job_streams(SEXP);
SEXP ffi_job_take(SEXP);
SEXP ffi_server_ask(SEXP, SEXP);
SEXP ffi_server_begin(SEXP);
SEXP ffi_server_fetch(SEXP);
SEXP ffi_server_fork(SEXP, SEXP);
SEXP ffi_server_here(void);
SEXP ffi_server_output(SEXP);
SEXP ffi_server_pid(SEXP);
SEXP ffi_server_reply(SEXP);
SEXP ffi_server_start(SEXP, SEXP);
SEXP ffi_server_stop(SEXP);
SEXP ffi_server_take(void);

/* kernels */
SEXP ffi_argsort_run(SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP ffi_file_read(SEXP, SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP ffi_file_write(SEXP, SEXP, SEXP, SEXP);
SEXP ffi_npy_about(SEXP);
SEXP ffi_npy_crc(SEXP, SEXP, SEXP);
SEXP ffi_npy_dtype(SEXP);
SEXP ffi_npy_marked(SEXP);
SEXP ffi_npy_parse(SEXP, SEXP);
SEXP ffi_npy_put(SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP ffi_npy_read(SEXP, SEXP, SEXP, SEXP);
SEXP ffi_npy_turn(SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP ffi_reduce_run(SEXP, SEXP, SEXP, SEXP);
SEXP ffi_search_run(SEXP, SEXP, SEXP, SEXP);

/* region */
SEXP ffi_region_barrier(SEXP, SEXP);
SEXP ffi_region_collect(SEXP);
SEXP ffi_region_critical(SEXP, SEXP, SEXP, SEXP);
SEXP ffi_region_end(SEXP);
SEXP ffi_region_exit(SEXP);
SEXP ffi_region_fail(SEXP);
SEXP ffi_region_leave(SEXP);
SEXP ffi_region_loop_begin(SEXP, SEXP, SEXP, SEXP, SEXP, SEXP);
SEXP ffi_region_loop_claim(SEXP);
SEXP ffi_region_loop_end(SEXP);
SEXP ffi_region_loop_item(SEXP, SEXP);
SEXP ffi_region_join(SEXP, SEXP, SEXP);
SEXP ffi_region_new(SEXP, SEXP, SEXP);
SEXP ffi_region_ordered(SEXP, SEXP, SEXP, SEXP);
SEXP ffi_region_pids(SEXP);
SEXP ffi_region_send(SEXP, SEXP, SEXP);
SEXP ffi_region_spawn(SEXP, SEXP, SEXP);
SEXP ffi_region_spawn_served(SEXP);
SEXP ffi_region_told(SEXP);
SEXP ffi_region_watch(SEXP);

#define ROW(name, n) \
  { #name, (DL_FUNC)(void (*)(void))name, n }

static const R_CallMethodDef rows[] = {
    /* array */
    ROW(ffi_array_dtype, 1),
    ROW(ffi_array_is, 1),
    ROW(ffi_array_live, 0),
    ROW(ffi_array_nbytes, 1),
    ROW(ffi_array_new, 3),
    ROW(ffi_array_pointer, 1),
    ROW(ffi_array_put, 2),
    ROW(ffi_array_shape, 1),
    ROW(ffi_array_touch, 1),
    ROW(ffi_text_dtype, 1),
    ROW(ffi_text_encoding, 1),
    ROW(ffi_text_marked, 1),
    ROW(ffi_copy_atomic, 2),
    ROW(ffi_copy_shared, 1),
    ROW(ffi_array_address, 1),
    ROW(ffi_array_bytes, 1),
    ROW(ffi_array_where, 1),
    ROW(ffi_memmap_flush, 1),
    ROW(ffi_memmap_new, 5),
    /* map */
    ROW(ffi_lock_held, 1),
    ROW(ffi_lock_init, 1),
    ROW(ffi_constants, 0),
    ROW(ffi_job_adopt, 3),
    ROW(ffi_job_answer, 1),
    ROW(ffi_job_dress, 2),
    ROW(ffi_job_end, 1),
    ROW(ffi_job_give, 3),
    ROW(ffi_job_hand, 3),
    ROW(ffi_job_join, 2),
    ROW(ffi_job_memory, 0),
    ROW(ffi_job_new, 3),
    ROW(ffi_job_reply, 1),
    ROW(ffi_job_serve, 3),
    ROW(ffi_job_streams, 1),
    ROW(ffi_job_take, 1),
    ROW(ffi_server_ask, 2),
    ROW(ffi_server_begin, 1),
    ROW(ffi_server_fetch, 1),
    ROW(ffi_server_fork, 2),
    ROW(ffi_server_here, 0),
    ROW(ffi_server_output, 1),
    ROW(ffi_server_pid, 1),
    ROW(ffi_server_reply, 1),
    ROW(ffi_server_start, 2),
    ROW(ffi_server_stop, 1),
    ROW(ffi_server_take, 0),
    ROW(ffi_map_alive, 1),
    ROW(ffi_map_drive, 5),
    ROW(ffi_map_end, 1),
    ROW(ffi_map_mine, 1),
    ROW(ffi_map_new, 6),
    ROW(ffi_map_pids, 1),
    ROW(ffi_map_results, 1),
    ROW(ffi_map_shape, 1),
    ROW(ffi_map_share, 1),
    ROW(ffi_map_spawn, 3),
    ROW(ffi_remote_common, 2),
    ROW(ffi_remote_common_nbytes, 1),
    ROW(ffi_remote_digest, 1),
    ROW(ffi_remote_done, 1),
    ROW(ffi_remote_item, 3),
    ROW(ffi_remote_left, 3),
    ROW(ffi_remote_is_ordered, 1),
    ROW(ffi_remote_part, 4),
    ROW(ffi_remote_pass, 3),
    ROW(ffi_remote_results, 6),
    ROW(ffi_remote_stop, 1),
    ROW(ffi_map_spawn_served, 1),
    ROW(ffi_node_join, 4),
    ROW(ffi_node_new, 3),
    ROW(ffi_node_spawn, 3),
    ROW(ffi_node_spawn_served, 1),
    ROW(ffi_node_end, 1),
    ROW(ffi_node_pids, 1),
    ROW(ffi_node_give, 3),
    ROW(ffi_node_answer, 1),
    ROW(ffi_node_take, 1),
    ROW(ffi_node_reply, 2),
    ROW(ffi_private_bytes, 0),
    ROW(ffi_util_dress, 2),
    ROW(ffi_util_inheriting, 2),
    ROW(ffi_util_rebind, 3),
    ROW(ffi_output_silence, 1),
    ROW(ffi_rng_base, 1),
    ROW(ffi_rng_shift, 2),
    ROW(ffi_rng_stream, 2),
    ROW(ffi_rng_swap, 1),
    ROW(ffi_rng_parallel, 1),
    ROW(ffi_rng_touch, 1),
    ROW(ffi_threads_find, 0),
    ROW(ffi_team_guard_exit, 0),
    ROW(ffi_team_quit, 1),
    ROW(ffi_test_kill_at, 1),
    ROW(ffi_worker_end, 0),
    ROW(ffi_worker_loop, 2),
    ROW(ffi_worker_send, 4),
    ROW(ffi_worker_stop_all, 0),
    ROW(ffi_worker_returned, 0),
    ROW(ffi_worker_setup, 2),
    ROW(ffi_worker_suppress, 1),
    /* index */
    ROW(ffi_array_about, 1),
    ROW(ffi_array_dim, 1),
    ROW(ffi_array_length, 1),
    ROW(ffi_array_meta, 1),
    ROW(ffi_array_reshape, 4),
    ROW(ffi_index_by_stretches, 2),
    ROW(ffi_index_get, 3),
    ROW(ffi_index_get_all, 3),
    ROW(ffi_index_get_element, 2),
    ROW(ffi_index_get_many, 3),
    ROW(ffi_index_set, 4),
    ROW(ffi_index_set_element, 4),
    ROW(ffi_index_set_many, 3),
    ROW(ffi_index_stretch, 2),
    ROW(ffi_index_writes, 1),
    /* view, atomic */
    ROW(ffi_array_plain, 2),
    ROW(ffi_atomic_add, 3),
    ROW(ffi_view_bytes, 1),
    ROW(ffi_view_new, 3),
    /* kernels */
    ROW(ffi_argsort_run, 5),
    ROW(ffi_file_read, 6),
    ROW(ffi_file_write, 4),
    ROW(ffi_npy_about, 1),
    ROW(ffi_npy_crc, 3),
    ROW(ffi_npy_dtype, 1),
    ROW(ffi_npy_marked, 1),
    ROW(ffi_npy_parse, 2),
    ROW(ffi_npy_put, 5),
    ROW(ffi_npy_read, 4),
    ROW(ffi_npy_turn, 5),
    ROW(ffi_reduce_run, 4),
    ROW(ffi_search_run, 4),
    /* trace */
    ROW(ffi_trace_open, 3),
    ROW(ffi_binding_kinds, 2),
    ROW(ffi_file_lines, 1),
    ROW(ffi_here_loop, 6),
    ROW(ffi_here_since, 1),
    ROW(ffi_here_leave, 2),
    ROW(ffi_trace_read, 1),
    ROW(ffi_progress_clear, 0),
    ROW(ffi_progress_shown, 2),
    ROW(ffi_progress_width, 0),
    ROW(ffi_progress_wanted, 1),
    /* region */
    ROW(ffi_region_barrier, 2),
    ROW(ffi_region_collect, 1),
    ROW(ffi_region_end, 1),
    ROW(ffi_region_exit, 1),
    ROW(ffi_region_fail, 1),
    ROW(ffi_region_leave, 1),
    ROW(ffi_region_loop_begin, 6),
    ROW(ffi_region_loop_claim, 1),
    ROW(ffi_region_loop_end, 1),
    ROW(ffi_region_loop_item, 2),
    ROW(ffi_region_join, 3),
    ROW(ffi_region_new, 3),
    ROW(ffi_region_pids, 1),
    ROW(ffi_region_send, 3),
    ROW(ffi_region_spawn, 3),
    ROW(ffi_region_spawn_served, 1),
    ROW(ffi_region_told, 1),
    ROW(ffi_region_watch, 1),
    {NULL, NULL, 0},
};

/* .External2: they evaluate an argument of the R function that calls them */
static const R_ExternalMethodDef sections[] = {
    ROW(ffi_critical, 1), ROW(ffi_lock, 1), ROW(ffi_ordered, 2), ROW(ffi_region_critical, 1), ROW(ffi_region_ordered, 1), {NULL, NULL, 0},
};

attribute_visible void R_init_sharedmem(DllInfo *dll) {
  sm_proc_loaded();
  R_registerRoutines(dll, NULL, rows, NULL, sections);
  r_array_register(dll);
  r_view_register(dll);
  r_move_register(dll);
  r_strings_register(dll);
  r_pooled_register(dll);
  R_useDynamicSymbols(dll, FALSE);
  R_forceSymbols(dll, TRUE);
}

/* The code of a thread that waits for children must not go away under it. */
attribute_visible void R_unload_sharedmem(DllInfo *dll) {
  (void)dll;
  sm_reap_join();
}
