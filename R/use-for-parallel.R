#' Let other packages' calls of parallel run on sharedmem's workers
#'
#' After `use_for_parallel(TRUE)` the functions [mclapply()], [pvec()], [mcmapply()], [mcMap()], [mcparallel()] and [mccollect()] of
#' this package stand in the place of parallel's, in this session: for packages that import them, for `parallel::mclapply()`, and on the
#' search path. `use_for_parallel(FALSE)` puts parallel's back.
#'
#' It is for the user of a session to call, not for a package: it changes what other packages' code does. Workers inherit it.
#'
#' @param flag `TRUE` or `FALSE`.
#' @return The setting before, invisibly.
#' @seealso [mclapply()]
#' @examples
#' use_for_parallel(TRUE)
#' identical(parallel::mclapply, mclapply)
#' use_for_parallel(FALSE)
#' @export
use_for_parallel <- function(flag) {
  check_flag(flag, "flag")
  before <- length(the$session$replaced) > 0L
  if (flag == before) return(invisible(before))
  home <- asNamespace("parallel")
  ours <- sapply(parallel_functions, get, envir = environment(), simplify = FALSE)
  theirs <- if (flag) mget(parallel_functions, envir = home) else the$session$replaced
  from <- if (flag) theirs else ours
  to <- if (flag) ours else theirs
  places <- c(home, if ("package:parallel" %in% search()) as.environment("package:parallel"),
              lapply(setdiff(loadedNamespaces(), c("base", "sharedmem")), function(ns) parent.env(asNamespace(ns))))
  for (place in places) for (name in parallel_functions)
    if (identical(get0(name, envir = place, inherits = FALSE), from[[name]])) .Call(ffi_util_rebind, place, name, to[[name]])
  the$session$replaced <- if (flag) theirs else list()
  invisible(before)
}

parallel_functions <- c("mclapply", "pvec", "mcmapply", "mcMap", "mcparallel", "mccollect")
