#' A cluster of forked nodes for package parallel
#'
#' Makes a cluster that package parallel's functions take (`parLapply()`, `clusterApplyLB()`, `clusterExport()`,
#' `clusterSetRNGStream()`, ...), and with them boot, caret, pbapply, `registerDoParallel(cl)` and others. Its nodes are processes
#' forked from this session, which see everything as it is now and live until [parallel::stopCluster()], the end of the session, or until
#' the cluster is garbage. Calls and results go through shared memory; large vectors are copied once, without serialization.
#'
#' From R 4.5 on `parallel::makeCluster(n, type = "SHAREDMEM")` makes one too.
#'
#' A node that dies ends the call that waits for it with an error of class `WorkerException` that names the node, its process id and the
#' signal; the cluster is then to be stopped. Random numbers of nodes are set by [parallel::clusterSetRNGStream()]; without it
#' each node draws numbers of its own. Nodes inherit shared arrays, and get those that are handed to them later.
#'
#' @param n Whole number of at least 1: nodes. `NULL` means [cpu_count()].
#' @param output What nodes print: `"relay"` brings it to the session while it waits for them, `"inherit"` leaves them the session's
#'   stdout and stderr, `"discard"` drops it.
#' @param threads Whole number, or `NULL`: threads of BLAS and OpenMP in each node; see [MapReduce()].
#' @return An object of class `sharedmem_cluster` and `cluster`: a list of nodes. Where the session cannot be forked, they are processes of
#'   its [fork_server()]; where there can be none, an error of class `sharedmem_fork_error`.
#' @source `makeForkCluster()` of R's package parallel.
#' @seealso [mclapply()], [MapReduce()]
#' @examples
#' cl <- make_shared_cluster(2)
#' parallel::parSapply(cl, 1:4, function(i) i^2)
#' x <- empty(4)
#' invisible(parallel::clusterApply(cl, 1:4, function(i, x) x[i] <- i, x))
#' x[]
#' parallel::stopCluster(cl)
#' @export
make_shared_cluster <- function(n = NULL, output = "relay", threads = 1L) {
  n <- max(1L, resolve_np(check_np(n, "n", 1L)))
  check_choice(output, names(constants$output)[names(constants$output) != "spool"], "output")
  threads <- check_np(threads, "threads", 1L)
  server <- if (!fork_is_safe()) server_instead()
  if (is.null(server) && !fork_is_safe())
    abort_class("sharedmem_fork_error", "the nodes of a cluster are forked, and this session cannot be")
  cl <- new.env(parent = emptyenv())
  cl$ptr <- .Call(ffi_node_new, n, constants$output[[output]], !is.null(server))
  cl$answers <- vector("list", n)
  cl$owed <- cl$stale <- integer(n) # answers that are to come from each node, and those among them for which nobody waits any more
  budget <- max(1, floor(min(the$worker$budget, cpu_count()) / n))
  seeds <- member_seeds(map_seed(FALSE), n)
  if (is.null(server)) {
    collect_garbage_before_fork()
    .Call(ffi_node_spawn, cl$ptr, node_main(cl, worker_plan(budget, FALSE, NULL, threads), seeds), function() NULL)
  } else {
    told <- list(kind = "cluster", n = n, output = constants$output[[output]], owner = Sys.getpid(), budget = budget, threads = threads,
                 seeds = seeds)
    cl$served <- new_served()
    ok <- FALSE
    on.exit(if (!ok) end_served(cl$served))
    serve_team(cl$served, server, cl$ptr, told, list()) # what is shared is held, and the cluster could not become garbage
    reg.finalizer(cl, function(cl) end_served(cl$served))
    .Call(ffi_node_spawn_served, cl$ptr)
    ok <- TRUE
  }
  nodes <- lapply(seq_len(n), function(i) structure(class = "sharedmem_node", list(cluster = cl, rank = i, host = "localhost")))
  structure(nodes, class = c("sharedmem_cluster", "cluster"))
}

# ---- in a node ----

node_main <- function(cl, plan, seeds) function(rank) {
  worker_setup(plan)
  set.seed(seeds[rank + 1L])
  node_loop(cl$ptr)
}

# Calls in parallel's protocol, until the one that says DONE.
node_loop <- function(ptr) repeat {
  message <- .Call(ffi_node_take, ptr)
  if (message$type == "DONE") break
  if (message$type != "EXEC") next
  answer <- node_call(message$data)
  tryCatch(.Call(ffi_node_reply, ptr, answer), error = function(e) {
    answer$value <- snow_error(paste0("the result cannot be sent to the session: ", message_of(e)))
    answer$success <- FALSE
    .Call(ffi_node_reply, ptr, answer)
  })
}

node_call <- function(data) {
  success <- TRUE
  start <- proc.time()
  value <- tryCatch(do.call(data$fun, data$args, quote = TRUE), error = function(e) {
    success <<- FALSE
    snow_error(message_of(e))
  })
  if (!data$return) value <- NULL
  list(type = "VALUE", value = value, success = success, time = proc.time() - start, tag = data$tag)
}

# What parallel's functions take for an error of a node.
snow_error <- function(text) structure(text, class = c("snow-try-error", "try-error"))

# ---- in the session: methods of parallel's generics ----

#' @exportS3Method parallel::sendData
sendData.sharedmem_node <- function(node, data) {
  cl <- node$cluster
  if (!.Call(ffi_node_give, cl$ptr, node$rank - 1L, data)) node_is_dead(node)
  cl$owed[node$rank] <- cl$owed[node$rank] + 1L
}

#' @exportS3Method parallel::recvData
recvData.sharedmem_node <- function(node) {
  await_answer(node$cluster, node$rank)$value
}

#' @exportS3Method parallel::recvOneData
recvOneData.sharedmem_cluster <- function(cl)
  await_answer(cl[[1L]]$cluster, vapply(unclass(cl), `[[`, 1L, "rank"))

#' @exportS3Method parallel::closeNode
closeNode.sharedmem_node <- function(node) invisible(NULL)

#' @exportS3Method parallel::stopCluster
stopCluster.sharedmem_cluster <- function(cl = NULL) {
  cluster <- cl[[1L]]$cluster
  .Call(ffi_node_end, cluster$ptr)
  if (!is.null(cluster$served)) end_served(cluster$served)
  invisible(NULL)
}

#' @export
print.sharedmem_cluster <- function(x, ...) {
  pids <- tryCatch(.Call(ffi_node_pids, x[[1L]]$cluster$ptr), sharedmem_cluster_error = function(e) NULL)
  cat(sprintf("<sharedmem cluster of %d node%s: %s>\n", length(x), if (length(x) == 1L) "" else "s",
              if (is.null(pids)) "stopped"
              else paste("pids", paste(pids[vapply(unclass(x), `[[`, 1L, "rank")], collapse = " "))))
  invisible(x)
}

#' @export
print.sharedmem_node <- function(x, ...) {
  cat(sprintf("<node %d of a sharedmem cluster>\n", x$rank))
  invisible(x)
}

# The next answer of any node goes to its place; the death of one is its answer.
take_answer <- function(cl) {
  frame <- .Call(ffi_node_answer, cl$ptr)
  if (is.null(frame)) abort_class("sharedmem_cluster_error", "all nodes of this cluster have ended: stop it and make a new one")
  rank <- frame$rank + 1L
  died <- frame$type != "result"
  cl$owed[rank] <- if (died) 0L else cl$owed[rank] - 1L
  if (!died && cl$stale[rank] > 0L) cl$stale[rank] <- cl$stale[rank] - 1L
  else cl$answers[[rank]] <- list(if (died) failure_from(frame) else frame$value)
}

# The first answer of one of the nodes: list(node = its place in `ranks`, value).
await_answer <- function(cl, ranks) {
  got <- FALSE
  on.exit(if (!got) abandon(cl))
  repeat {
    at <- which(!vapply(cl$answers[ranks], is.null, NA))[1L]
    if (!is.na(at)) break
    take_answer(cl)
  }
  if (is_death(cl$answers[[ranks[at]]])) stop(cl$answers[[ranks[at]]][[1L]]) # it stays: a dead node has no other answer
  value <- cl$answers[[ranks[at]]][[1L]]
  cl$answers[ranks[at]] <- list(NULL)
  got <- TRUE
  list(node = at, value = value)
}

# After an error or an interrupt nobody waits for the answers to what was asked before.
abandon <- function(cl) {
  cl$stale <- cl$owed
  cl$answers[!vapply(cl$answers, is_death, NA)] <- list(NULL)
}

is_death <- function(answer) inherits(answer[[1L]], "WorkerException")

node_is_dead <- function(node) {
  cl <- node$cluster
  while (!is_death(cl$answers[[node$rank]])) take_answer(cl)
  abandon(cl)
  stop(cl$answers[[node$rank]][[1L]])
}

# parallel::makeCluster(type = "SHAREDMEM"), where this R lets packages register types.
register_cluster_type <- function(...) {
  register <- get0("registerClusterType", envir = asNamespace("parallel"), inherits = FALSE)
  if (is.function(register)) register("SHAREDMEM", function(spec, ...) make_shared_cluster(spec, ...))
}
