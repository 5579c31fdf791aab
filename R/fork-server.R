#' A clean process from which workers are forked
#'
#' Starts the session's fork server, a fresh R process that loads the session's packages and then waits. Workers of [MapReduce()],
#' [background()], [Parallel()], [mclapply()], [make_shared_cluster()] and `plan(sharedmem::sharedmem)` are forked from it where the
#' session itself cannot be forked, as in RStudio and Positron, and those of maps anywhere by `MapReduce(backend = ServerBackend)`. What
#' needs it first starts it, which one message a session says; calling this beforehand loads packages and data ahead of time.
#'
#' There is one a session. It ends with `$stop()`, and with the session, however that ends; its workers end with it. After its death
#' the next map starts another. `fork_server()` with arguments replaces the one that runs.
#'
#' @section What a worker has, and what differs from a fork of the session:
#'
#' \tabular{lll}{
#'    \tab in a fork of the session \tab in a worker of the fork server \cr
#'   `func`, its further arguments, the items, and what the environments of `func` hold \tab shared with the session \tab
#'   sent, once a map \cr
#'   variables of the workspace, S3 and S4 methods among them; what [attach()] has put on the search path \tab shared with
#'   the session \tab each is fetched from the session when the worker touches it, as it was when the map began (an environment: as
#'   it is then), with those that share an environment with it (closures of one call, names of one R6 object); vectors of 1 MB and more
#'   through shared memory, once a map \cr
#'   packages \tab as they are loaded \tab the same ones, loaded from the same libraries and attached in the same order;
#'   state that they have gathered since (registered back ends, caches, plans) is not there \cr
#'   options, environment variables, locale, working directory, library paths, kind of random numbers, `tempdir()` \tab the
#'   session's \tab the session's, as at the beginning of the map \cr
#'   random numbers of items \tab depend on `set.seed()` alone \tab the same numbers \cr
#'   shared arrays, [Lock()]s, `pool$critical`, `pool$ordered` \tab the session's \tab the session's \cr
#'   promises and active bindings of the workspace \tab evaluated in the worker \tab evaluated in the session, when a worker
#'   touches them \cr
#'   connections, external pointers, graphics devices, packages of `load_all()`, mirai \tab inherited, mostly of no use \tab
#'   an error of class `sharedmem_refused_error` that names the variable, when it is touched \cr
#'   `interactive()` \tab as in the session \tab `FALSE` \cr
#'   start of a map \tab some milliseconds \tab some ten milliseconds; the server's own start before the first \cr
#' }
#'
#' The session answers while it waits for the map: `reduce` and handlers of conditions hold up a worker that fetches a variable
#' meanwhile. A [background()] call is sent what its function mentions by name, and what may be an S3 method; for what it reaches in another
#' way it waits until the session looks at it (`wait()`, `is_alive()`), or runs a map. So are the ranks of [Parallel()], with the
#' variables of the function that the braces stand in; for what they reach in another way they wait until the session, which is rank 0,
#' comes to a barrier, a loop's next item, a section, or the end. Nodes of [make_shared_cluster()] are answered while a call waits for them;
#' they see the workspace as it was when the cluster was made.
#'
#' @param packages Character: packages to attach in the server when it starts, first one first. `NULL`: those that are attached in the
#'   session. What the session attaches later is attached before the next map.
#' @param data Named list, or `NULL`: objects that live in the server from the start, and that workers find under these names, without
#'   fetching them, whatever the workspace has under these names. They are shared by all workers copy-on-write.
#' @return An object of class `sharedmem_server` with `stop()`, which ends the server, and `pid`, its process id (`NA` once it has
#'   ended). A server that cannot be started, or a package that it cannot load, is an error of class `sharedmem_server_error`.
#' @source Python's `multiprocessing` start method `forkserver`.
#' @seealso [MapReduce()], [fork_daemons()]
#' @examples
#' \dontrun{
#' server <- fork_server()
#' factor <- 10
#' unlist(MapReduce(ServerBackend, np = 2)$map(function(i) factor * i, 1:4))
#' server$stop()
#' }
#' @export
fork_server <- function(packages = NULL, data = NULL) {
  check_packages(packages)
  check_data(data)
  if (in_server() || in_worker())
    abort_class("sharedmem_misuse_error", "a worker has no fork server of its own: it can be forked itself")
  if (!is.null(packages) || !is.null(data)) stop_server()
  server <- running_server()
  if (is.null(server)) server <- start_session_server(packages, data)
  server
}

check_packages <- function(packages)
  if (!is.null(packages) && (!is.character(packages) || anyNA(packages)))
    abort_argument("packages", describe_value(packages), "NULL or names of packages")

check_data <- function(data) {
  if (is.null(data)) return()
  if (!is.list(data) || is.null(names(data)) || anyNA(names(data)) || !all(nzchar(names(data))) || anyDuplicated(names(data)))
    abort_argument("data", describe_value(data), "NULL or a list of objects by name")
}

#' @export
print.sharedmem_server <- function(x, ...) {
  cat(if (is.na(x$pid)) "<fork server: stopped>\n" else sprintf("<fork server: process %d>\n", x$pid))
  invisible(x)
}

abort_server <- function(server, what) {
  text <- tryCatch(.Call(ffi_server_output, server$ptr), error = function(e) "")
  abort_class("sharedmem_server_error", paste0(what, if (grepl("[^[:space:]]", text, useBytes = TRUE)) paste0("; it has printed:\n", text)))
}

# ---- starting, in the session ----

running_server <- function() {
  server <- the$session$server
  if (!is.null(server) && !is.na(server$pid)) server
}

stop_server <- function() if (!is.null(the$session$server)) the$session$server$stop()

# The session's server, started where there is none.
need_server <- function() {
  server <- running_server()
  if (is.null(server)) server <- start_session_server(NULL, NULL)
  server$load()
  server
}

start_session_server <- function(packages, data) {
  stop_server()
  the$session$server <- start_server(packages, data)
}

# A fresh R that is a fork server. `load()` brings it up to what the session has attached and loaded.
start_server <- function(packages, data) {
  server <- new.env(parent = emptyenv())
  server$ptr <- .Call(ffi_server_start, server_command(), server_environment())
  server$told <- character()
  server$failed <- character()
  server$data <- names(data)
  server$packages <- rev(packages)
  server$stop <- function() invisible(.Call(ffi_server_stop, server$ptr))
  server$load <- function() server_load(server, session_packages())
  makeActiveBinding("pid", function() .Call(ffi_server_pid, server$ptr), server)
  ok <- FALSE
  on.exit(if (!ok) server$stop())
  if (is.null(.Call(ffi_server_ask, server$ptr, NULL))) abort_server(server, "the fork server has not started")
  if (!is.null(packages)) {
    server_load(server, list(attached = packages, loaded = character(), lib = character()))
    if (length(server$failed))
      abort_server(server, paste0("the fork server cannot load ", paste0(names(server$failed), ": ", server$failed, collapse = "; ")))
  }
  if (!is.null(data)) .Call(ffi_server_ask, server$ptr, list(type = "data", data = data))
  ok <- TRUE
  structure(server, class = "sharedmem_server")
}

server_command <- function() c(file.path(R.home("bin"), "R"), "--no-echo", "--no-restore", "--vanilla", "-e",
                               "invisible(loadNamespace('sharedmem',lib.loc=Sys.getenv('SHAREDMEM_SERVER_LIB')));sharedmem:::server_main()")

# Its own temporary files lie in the session's folder of these, so that they go with it.
server_environment <- function() {
  path <- getNamespaceInfo("sharedmem", "path")
  if (!file.exists(file.path(path, "Meta", "package.rds")))
    abort_class("sharedmem_server_error", "the fork server loads sharedmem from a library: install it (load_all() is not enough)")
  env <- Sys.getenv()
  env[c("SHAREDMEM_SERVER", "SHAREDMEM_SERVER_LIB", "TMPDIR")] <- c(Sys.getpid(), dirname(path), tempdir())
  env["R_LIBS"] <- paste(.libPaths(), collapse = ":")
  paste0(names(env), "=", env)
}

# Packages that no fork server may load: NNG ends a process that uses it after a fork.
never_served <- c("mirai", "nanonext")

# Does a package load one of them, by its imports or theirs?
loads_unserved <- function(package, lib, seen) {
  if (package %in% never_served) return(TRUE)
  if (!is.null(seen[[package]])) return(seen[[package]])
  assign(package, FALSE, envir = seen)
  about <- suppressWarnings(utils::packageDescription(package, lib.loc = lib, fields = c("Depends", "Imports")))
  named <- if (is.list(about)) unlist(strsplit(as.character(unlist(about)), ",", fixed = TRUE))
  named <- setdiff(sub("^\\s*([A-Za-z0-9.]+).*$", "\\1", named[!is.na(named)]), c("R", base_packages))
  assign(package, any(vapply(named, loads_unserved, NA, lib, seen)), envir = seen)
  seen[[package]]
}

base_packages <- c("base", "compiler", "grDevices", "graphics", "grid", "methods", "parallel", "splines", "stats", "stats4", "tcltk",
                   "tools", "utils")

# Attached packages, lowest first; namespaces; the library of each.
session_packages <- function() {
  attached <- sub("^package:", "", grep("^package:", rev(search()), value = TRUE))
  loaded <- loadedNamespaces()
  skip <- c(never_served, developed_packages(loaded), "base", "sharedmem")
  attached <- setdiff(attached, setdiff(skip, "sharedmem"))
  loaded <- setdiff(loaded, c(skip, attached))
  both <- c(attached, loaded)
  list(attached = attached, loaded = loaded, lib = vapply(both, function(p) dirname(getNamespaceInfo(p, "path")), ""))
}

# Those that pkgload::load_all() has made: no library has them as they are.
developed_packages <- function(loaded = loadedNamespaces())
  Filter(function(p) !is.null(.getNamespace(p)[[".__DEVTOOLS__"]]), setdiff(loaded, "base"))

server_load <- function(server, packages) {
  new <- setdiff(c(packages$attached, packages$loaded), server$told)
  if (!length(new)) return()
  packages$attached <- intersect(packages$attached, new)
  packages$loaded <- intersect(packages$loaded, new)
  answer <- .Call(ffi_server_ask, server$ptr, c(list(type = "load", paths = .libPaths()), packages))
  if (is.null(answer)) abort_server(server, "the fork server has died while it loaded packages")
  server$told <- c(server$told, new)
  server$failed <- c(server$failed, answer$failed)
}

# ---- a job, in the session ----

# A process of the server's, told of the search path. An environment: ptr, id, scopes (where variables are fetched from), known
# (environments that both ends have, those of `shared` first).
start_served <- function(served, server, shared, kind) {
  the$session$served_jobs <- served$id <- the$session$served_jobs + 1
  served$scopes <- session_scopes(server)
  served$known <- c(shared, lapply(served$scopes[-1L], `[[`, "env"))
  served$ptr <- .Call(ffi_job_new, server$ptr, list(type = "job", id = served$id), served$id)
  assign(job_key(served$id), served, envir = the$session$served)
  .Call(ffi_job_give, served$ptr, list(kind = kind, search = describe_search(server, served$scopes), packages = server$packages),
        NULL)
}

new_served <- function() new.env(parent = emptyenv())

job_key <- function(id) sprintf("%.0f", id)

# However far it has come.
end_served <- function(served) {
  if (!is.null(served$ptr)) .Call(ffi_job_end, served$ptr)
  if (is.null(served$id)) return()
  key <- job_key(served$id)
  if (exists(key, envir = the$session$served, inherits = FALSE)) rm(list = key, envir = the$session$served)
}

# The environments whose variables workers fetch: the workspace, and what is attached and no package of the server's. Values are held as
# they are now; promises and active bindings are not touched.
session_scopes <- function(server) {
  at <- setdiff(seq_along(search()), match(c("Autoloads", "package:base"), search()))
  at <- at[!vapply(search()[at], is_served_package, NA, server)]
  lapply(at, function(i) new_scope(as.environment(i), search()[i], refusal_of(search()[i], server)))
}

is_served_package <- function(name, server)
  startsWith(name, "package:") && sub("^package:", "", name) %in% server$told &&
    !sub("^package:", "", name) %in% c(names(server$failed), never_served, developed_packages())

# Why nothing of an attached package can be fetched, or NULL.
refusal_of <- function(name, server) {
  if (!startsWith(name, "package:")) return(NULL)
  package <- sub("^package:", "", name)
  if (package %in% never_served) sprintf("package %s cannot be used in a forked process", package)
  else if (package %in% names(server$failed)) sprintf("the fork server could not load package %s: %s", package, server$failed[[package]])
  else sprintf("package %s has been loaded by load_all(), and the fork server loads packages from libraries: install it", package)
}

new_scope <- function(env, name, refusal = NULL) {
  scope <- new.env(parent = emptyenv())
  scope$env <- env
  scope$name <- name
  scope$refusal <- refusal
  scope$names <- setdiff(ls(env, all.names = TRUE, sorted = FALSE), c(".Random.seed", ".Last"))
  scope$packed <- new.env(parent = emptyenv())
  plain <- if (is.null(refusal)) scope$names[.Call(ffi_binding_kinds, scope$names, env) %in% c("value", "locked")]
  scope$values <- list2env(mget(as.character(plain), envir = env), parent = emptyenv())
  scope
}

# The search path from the top, as the process of a job makes it: names of the packages; of what else is there, its variables.
describe_search <- function(server, scopes) {
  names <- vapply(scopes, function(s) s$name, "")
  lapply(setdiff(search(), c("Autoloads", "package:base")), function(name) {
    scope <- match(name, names)
    list(name = name, scope = scope, variables = if (!is.na(scope)) setdiff(scopes[[scope]]$names, if (scope == 1L) server$data))
  })
}

# What else of the session's state a worker finds.
session_state <- function()
  list(options = options(), env = Sys.getenv(), wd = getwd(), paths = .libPaths(), rng = RNGkind(), tempdir = tempdir(),
       seed = get0(".Random.seed", envir = globalenv(), inherits = FALSE), umask = Sys.umask(NA),
       locale = vapply(locale_categories, Sys.getlocale, ""), devices = length(grDevices::dev.list()) > 0L,
       replaced = length(the$session$replaced) > 0L)

locale_categories <- c("LC_COLLATE", "LC_CTYPE", "LC_MONETARY", "LC_TIME", "LC_MESSAGES")

# Called from C: what a process of a job has asked for, list(scope, name). Whatever goes wrong is the answer.
server_answer <- function(id, request) tryCatch({
  scope <- the$session$served[[job_key(id)]]$scopes[[request[[1L]]]]
  value <- scope_value(scope, request[[2L]])
  along <- names_beside(scope, request[[2L]])
  names(along) <- along
  along <- Filter(Negate(is.null), lapply(along, function(name) tryCatch(scope_value(scope, name), error = function(e) NULL)))
  list(value = value, along = along, loose = is_class_data(request[[2L]], value) || any(vapply(along, is_class_data, NA, name = "")))
}, error = function(e) server_refusal(request, e))

# Definitions of classes and methods have pointers of R's own in them, which nobody follows.
is_class_data <- function(name, value)
  startsWith(name, ".__") || inherits(value, c("classRepresentation", "classGeneratorFunction", "refObjectGenerator", "envRefClass"))

# Variables that reach an environment which this one reaches, or one of those: they go together, so that it stays the same for all.
names_beside <- function(scope, name) {
  beside <- character()
  keys <- if (is.null(scope$reached)) environments_in(scope$values[[name]]) else scope$reached[[name]]
  if (!length(keys)) return(beside)
  if (is.null(scope$reached)) scope$reached <- Filter(length, lapply(as.list(scope$values, all.names = TRUE), environments_in))
  repeat {
    more <- setdiff(names(Filter(function(k) any(k %in% keys), scope$reached)), c(beside, name))
    if (!length(more)) return(beside)
    beside <- c(beside, more)
    keys <- unique(c(keys, unlist(scope$reached[more])))
  }
}

# What tells the environments apart that functions in x enclose, that are in x, its lists and its environments: those of R itself and of
# packages, and the workspace, left out. One of very many variables is not looked into. None where x holds what cannot go.
environments_in <- function(x) {
  seen <- new.env(parent = emptyenv())
  goes <- TRUE
  look <- function(x, depth) {
    if (is_dead(x)) goes <<- FALSE
    if (is.function(x)) x <- if (is.primitive(x)) NULL else environment(x)
    if (is.environment(x)) {
      while (!ends_search(x) && is.null(seen[[key <- format.default(x)]])) {
        assign(key, TRUE, envir = seen)
        if (depth < 5L && length(x) <= 1000L)
          for (name in ls(x, all.names = TRUE, sorted = FALSE)) look(plain_value(name, x), depth + 1L)
        x <- parent.env(x)
      }
    } else if (is.list(x) && depth < 5L && length(unclass(x)) <= 1000L)
      for (y in unclass(x)) look(y, depth + 1L)
  }
  if (is.function(x) || is.environment(x) || is.list(x)) look(x, 0L)
  if (goes) names(seen)
}

scope_value <- function(scope, name) {
  if (!is.null(scope$refusal)) stop(scope$refusal)
  if (!is.null(packed <- scope$packed[[name]])) return(packed)
  value <- if (exists(name, envir = scope$values, inherits = FALSE)) scope$values[[name]]
           else get(name, envir = scope$env, inherits = FALSE)
  refuse_developed(value)
  if (is.function(value)) value <- compiled(value, TRUE)
  packed <- pack_large(value)
  if (inherits(packed, "sharedmem_packed")) assign(name, packed, envir = scope$packed)
  packed
}

server_refusal <- function(request, cond)
  list(refused = sprintf("`%s` of the session cannot go to a worker of the fork server: %s", request[[2L]], message_of(cond)))

# A function whose home is a package of load_all() would find another version of it there, or none.
refuse_developed <- function(value) {
  homes <- developed_packages()
  if (length(homes) && !is.null(home <- home_among(value, homes, new.env())))
    stop(sprintf("it is of package %s, which has been loaded by load_all(): install that", home))
}

# The first of these packages that a function in x lives in: looks into lists, attributes, and environments of functions.
home_among <- function(x, homes, seen, depth = 0L) {
  if (depth > 20L) return(NULL)
  if (is.function(x)) x <- if (is.primitive(x)) NULL else environment(x)
  if (is.environment(x)) {
    top <- topenv(x)
    if (isNamespace(top) && getNamespaceName(top) %in% homes) return(getNamespaceName(top)[[1L]])
    key <- format.default(x) # not as a class would print it
    if (isNamespace(x) || identical(x, globalenv()) || identical(x, emptyenv()) || !is.null(seen[[key]])) return(NULL)
    assign(key, TRUE, envir = seen)
    x <- lapply(ls(x, all.names = TRUE), plain_value, x)
  }
  if (is.list(x)) for (item in x)
    if (is.function(item) || is.environment(item) || is.list(item))
      if (!is.null(home <- home_among(item, homes, seen, depth + 1L))) return(home)
  NULL
}

# Variables of the workspace that f mentions by name, and functions that it reaches by such names, and what may be an S3 method: for one
# who cannot be answered soon. What could be refused is left to be asked for. shared: environments that are there, too.
mentioned_variables <- function(f, scope, shared = list()) {
  found <- list()
  methods <- grep(".", ls(scope$values, all.names = TRUE), fixed = TRUE, value = TRUE)
  methods <- Filter(is.function, mget(methods[!startsWith(methods, ".")], envir = scope$values))
  queue <- list(f, as.function(list(as.call(c(list(quote(`{`)), lapply(names(methods), as.name)))), scope$values))
  while (length(queue)) {
    f <- queue[[1L]]
    queue <- queue[-1L]
    for (name in setdiff(all.names(body(f), unique = TRUE), c(names(found), ""))) {
      near <- environment(f)
      if (!identical(near, globalenv()) && is.function(g <- plain_value(name, near)) && !is.primitive(g)) queue <- c(queue, list(g))
      if (!exists(name, envir = scope$values, inherits = FALSE) || !is_plain(scope$values[[name]], shared)) next
      found[[name]] <- tryCatch(scope_value(scope, name), error = function(e) NULL)
      if (is.function(found[[name]])) queue <- c(queue, list(found[[name]]))
    }
    if (length(queue) > 1000L) break
  }
  found
}

# The value of a variable in env itself; NULL for none, a promise, an active binding, a missing argument.
plain_value <- function(name, env) {
  if (!is.environment(env) || name == "..." || !.Call(ffi_binding_kinds, name, env) %in% c("value", "locked")) return(NULL)
  get(name, envir = env, inherits = FALSE)
}

# Functions of the workspace and of packages, vectors, locks, shared environments, and lists of these; closures and environments that hold
# no more than that, none of it a promise.
is_plain <- function(x, shared = list(), depth = 0L) {
  if (inherits(x, "connection") || depth > 20L) return(FALSE)
  if (is_shared(x) || inherits(x, "sharedmem_lock")) return(TRUE)
  if (is.function(x)) return(!is.primitive(x) && is_plain(environment(x), shared, depth + 1L))
  if (is.environment(x)) {
    if (identical(x, globalenv()) || identical(x, emptyenv()) || isNamespace(x) || startsWith(environmentName(x), "package:")) return(TRUE)
    for (one in shared) if (identical(x, one)) return(TRUE)
    names <- ls(x, all.names = TRUE)
    if (!all(.Call(ffi_binding_kinds, names, x) %in% c("value", "locked"))) return(FALSE)
    return(all(vapply(names, function(name) is_plain(plain_value(name, x), c(shared, list(x)), depth + 1L), NA)) &&
             is_plain(parent.env(x), shared, depth + 1L))
  }
  if (is.list(x)) return(all(vapply(unclass(x), is_plain, NA, shared, depth + 1L)))
  is.null(x) || is.atomic(x) || is.language(x)
}

# ---- large vectors ----

pack_bytes <- 2^20

# Vectors of 1 MB and more, of numbers, logicals or bytes, in x and the lists below it, go to shared memory.
pack_large <- function(x, depth = 0L) {
  if (is_shared(x) || isS4(x) || depth > 20L) return(x)
  if (is.atomic(x) && !is.character(x) && length(x) >= pack_bytes / 16 && utils::object.size(x) >= pack_bytes) {
    kept <- attributes(x)
    bare <- as.vector(unclass(x))
    if (is.logical(bare)) return(new_packed(.Call(ffi_copy_atomic, as.integer(bare), NULL), kept, "logical"))
    return(new_packed(.Call(ffi_copy_atomic, bare, NULL), kept, typeof(x)))
  }
  if (typeof(x) != "list") return(x)
  n <- length(unclass(x)) # its class may have a length() of its own
  items <- lapply(seq_len(n), function(i) pack_large(.subset2(x, i), depth + 1L))
  if (any(vapply(items, inherits, NA, "sharedmem_packed"))) new_packed(items, attributes(x), "list") else x
}

new_packed <- function(data, attributes, type)
  structure(list(data = data, attributes = attributes, type = type), class = "sharedmem_packed")

# In a worker: vectors over that memory; R copies one that is written to.
unpack <- function(x) {
  if (!inherits(x, "sharedmem_packed")) return(x)
  value <- if (x$type == "list") lapply(x$data, unpack) else shared_view(x$data)
  if (x$type == "logical") value <- as.logical(value)
  if (is.null(x$attributes)) value else .Call(ffi_util_dress, value, x$attributes)
}
