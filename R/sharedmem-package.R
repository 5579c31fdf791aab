#' Shared memory arrays and fork map-reduce
#'
#' Arrays in shared memory that every worker process writes into, and maps, regions and clusters of forked workers. The package needs R
#' and nothing else, on Linux, macOS and other Unix systems.
#'
#' @section Start here:
#' \preformatted{library(sharedmem)
#' x    <- empty(c(1000, 8))             # a matrix that all processes see
#' pool <- MapReduce(np = 2)             # np: the number of workers
#' mean <- pool$map(function(j) {        # one call for every item of 1:8
#'   x[, j] <- rnorm(1000)               # written in place
#'   mean(x[, j])                        # returned
#' }, 1:8)
#' x[]                                   # the values, as an ordinary matrix}
#'
#' `vignette("sharedmem")` takes ten minutes; `browseVignettes("sharedmem")` lists the others.
#'
#' @section Arrays:
#' [shared_array] says what one is and what shares or copies. Make one: [empty()], [full()], [copy()] (also [as_shared()]), [memmap()],
#' [fromfile()], [read_npy()]. Read and write them: [elements][shared_array-index], [atomic_add()], [set_shared()]. Get values out:
#' `x[]`, [shared_view()], [unshare()], `saveRDS(x)`, [tofile()], [write_npy()], [shared_path()]. Sort and search on several
#' threads: [argsort()], [searchsorted()].
#'
#' @section Work for several processes:
#' - [MapReduce()] makes a pool; [`pool$map()`][map] calls a function for every item; `pool$critical()` and `pool$ordered()` ([critical])
#'   let one worker in at a time; [tuple()] is a result of several parts; [sharedmem_trace] shows where the time went.
#' - [Parallel()] is an OpenMP-like region, [background()] one call beside the session, [Lock()] a lock of one's own.
#' - [last_error()] shows what a worker was doing when it failed, [sharedmem_error] lists all classes of conditions, [set_debug()] runs
#'   everything in the session.
#' - [cpu_count()] says how many workers there are by default.
#'
#' @section Other packages' functions on these workers:
#' [mclapply()] and [mcparallel()] as in package parallel, [use_for_parallel()] for packages that call those,
#' [make_shared_cluster()] for `parLapply()`, [registerDoSharedmem()] for foreach, `plan(sharedmem::sharedmem)` for
#' [future][sharedmem-future].
#'
#' @section Workers elsewhere:
#' [ClusterBackend()] runs a map on mirai's daemons, on this machine or on others (`vignette("cluster")`: SSH, Slurm, PBS).
#' [fork_server()] is a clean process that workers are forked from where the session must not fork, as in RStudio and Positron;
#' [fork_daemons()] forks daemons for mirai, purrr, crew and tune that share packages and data.
#'
#' @section Options:
#' All are set by `options()`.
#'
#' - `sharedmem.np`: number of workers where none is given; see [cpu_count()].
#' - `sharedmem.fork`: `TRUE` forks from sessions where that is known to hang (RStudio, Positron), `FALSE` never forks.
#' - `sharedmem.aware`: names of packages whose assignments write into shared arrays; see [set_shared()].
#' - `sharedmem.serialize`: `"values"` makes `serialize()` give the values of an array instead of its handle; see [shared_array].
#' - `sharedmem.trace_events`: how many events of a trace are kept a worker; see [sharedmem_trace].
#'
#' @keywords internal
#' @aliases sharedmem sharedmem-package
#' @useDynLib sharedmem, .registration = TRUE
"_PACKAGE"
