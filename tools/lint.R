# What the compiler and the tests do not see: the layers, the border to R, lengths, forbidden symbols, format, names of tests.
#
# Each check prints what breaks it, file and line, and counts as one passed or failed, or as skipped where what it needs is not
# installed; the last line is `N passed, N failed, N skipped`. COUNTS=FILE in the environment: the numbers are written there too.

c_files <- list.files("src", "\\.[ch]$", full.names = TRUE)
r_files <- list.files("R", "\\.R$", full.names = TRUE)
native_files <- list.files(c("tests/native", "tests/fuzz"), "\\.[ch]$", full.names = TRUE)
script_files <- list.files(c("tests/testthat", "tools", "bench", "inst"), "\\.R$", full.names = TRUE,
                           recursive = TRUE)
read <- function(files) sapply(files, readLines, warn = FALSE, simplify = FALSE)
code_c <- read(c_files)
code_r <- read(r_files)

# Which layers of the core a layer may include besides its own; sm_ is open to all.
may_include <- list(sm = character(), mem = character(), arr = character(), sync = character(),
                    proc = "sync", task = "sync", chan = c("sync", "mem"), kern = "arr")
# The rooms of the glue, lowest first: the second word of a file's name is its room. Each may include the whole core,
# its own room, and the rooms named here.
may_visit <- list(util = character(), memory = "util", array = c("util", "memory"), index = c("util", "memory", "array"),
                  kernel = c("util", "memory", "array"), here = "util", wire = c("util", "memory", "array", "here"),
                  team = c("util", "here", "wire"), map = c("util", "memory", "here", "wire", "team"),
                  region = c("util", "memory", "here", "wire", "team"), node = c("util", "memory", "here", "wire", "team"),
                  server = c("util", "here", "wire", "team", "map"), lock = c("util", "memory", "array", "here"),
                  constants = c("util", "kernel", "here", "wire", "team", "map", "region"))
layer_of <- function(file) sub("_.*$", "", basename(file))
room_of <- function(file) sub("^r_([a-z0-9]+).*$", "\\1", basename(file))
at <- function(file, line, text) sprintf("%s:%d: %s", file, line, text)

# C source without comments and the contents of strings, lines kept.
bare_c <- function(lines) {
  s <- paste(lines, collapse = "\n")
  comment <- gregexpr("/\\*(?s:.*?)\\*/", s, perl = TRUE)
  regmatches(s, comment) <- lapply(regmatches(s, comment), function(m) gsub("[^\n]", " ", m))
  s <- gsub("\"(\\\\.|[^\"\\\\\n])*\"", "\"\"", s, perl = TRUE)
  sub("//.*$", "", strsplit(s, "\n", fixed = TRUE)[[1L]])
}
bare <- lapply(code_c, bare_c)

check_layers <- function() {
  bad <- character()
  for (f in c_files) {
    layer <- layer_of(f)
    if (basename(f) == "init.c" || layer == "r") next
    if (!layer %in% names(may_include)) {
      bad <- c(bad, at(f, 1L, sprintf("no such layer: %s_", layer)))
      next
    }
    for (i in grep("^\\s*#\\s*include", code_c[[f]])) {
      line <- code_c[[f]][i]
      if (grepl("<(R|Rinternals|Rmath|Rdefines|R_ext/.*|Rversion)(\\.h)?>", line))
        bad <- c(bad, at(f, i, "the core includes no R header"))
      own <- regmatches(line, regexec("\"([^\"]+)\"", line))[[1L]][2L]
      if (!is.na(own) && !layer_of(own) %in% c("sm", layer, may_include[[layer]]))
        bad <- c(bad, at(f, i, sprintf("%s_ may not include %s", layer, own)))
    }
  }
  bad
}

# Headers of ours that each line of a file includes; NA where it includes none.
own_includes <- function(f) sub("^\\s*#\\s*include\\s+\"([^\"]+)\".*$|^.*$", "\\1", code_c[[f]])

check_rooms <- function() {
  bad <- character()
  for (f in grep("^r_", basename(c_files), value = TRUE)) {
    f <- file.path("src", f)
    room <- room_of(f)
    if (!room %in% names(may_visit)) bad <- c(bad, at(f, 1L, sprintf("no such room: %s", room)))
    included <- own_includes(f)
    for (i in grep("^r_", included))
      if (!room_of(included[i]) %in% c(room, may_visit[[room]]))
        bad <- c(bad, at(f, i, sprintf("the room %s may not include %s", room, included[i])))
  }
  bad
}

# A module is a .c file with its header. Modules that nothing outside of the rest includes are taken away until none
# is left; what cannot be taken away lies on a circle or between two.
check_circles <- function() {
  module <- function(f) sub("\\.[ch]$", "", basename(f))
  edges <- unlist(lapply(c_files, function(f) {
    to <- setdiff(module(grep("\\.h$", own_includes(f), value = TRUE)), module(f))
    sprintf("%s>%s", rep(module(f), length(to)), to)
  }))
  edges <- do.call(rbind, strsplit(unique(edges), ">", fixed = TRUE))
  repeat {
    keep <- edges[, 2L] %in% edges[, 1L] & edges[, 1L] %in% edges[, 2L]
    if (all(keep)) break
    edges <- edges[keep, , drop = FALSE]
  }
  if (nrow(edges)) paste("a circle of includes among", paste(unique(c(edges)), collapse = ", ")) else character()
}

check_line_length <- function(limit = 140L) {
  files <- c(c_files, r_files, native_files, script_files)
  unlist(lapply(files, function(f) {
    n <- nchar(readLines(f, warn = FALSE))
    at(f, which(n > limit), sprintf("%d columns, the limit is %d", n[n > limit], limit))
  }))
}

check_parameters <- function(limit = 6L) {
  bad <- character()
  for (f in c_files) {
    text <- paste(bare[[f]], collapse = "\n")
    m <- gregexpr("(?m)^[[:alpha:]_][\\w *]*?(\\w+)\\(([^;{}()]*(\\([^()]*\\)[^;{}()]*)*)\\)\\s*\\{", text, perl = TRUE)
    for (d in regmatches(text, m)[[1L]]) {
      inner <- gsub("\\([^()]*\\)", "", sub("\\)\\s*\\{$", "", sub("^[^(]*\\(", "", d)))
      n <- lengths(strsplit(inner, ","))
      name <- sub("^.*?(\\w+)\\(.*$", "\\1", gsub("\n", " ", d), perl = TRUE)
      if (n > limit) bad <- c(bad, sprintf("%s: %s() has %d parameters, the limit is %d", f, name, n, limit))
    }
  }
  bad
}

# The memory of an array is touched by functions that run under the guard, whose one parameter is `void *`, or in the scalar paths, which
# ask r_index_fast() or for SM_ARRAY_MAGIC first: it may lie in a file that shrinks.
check_guarded <- function() {
  touch <- paste0("\\b(memcpy|memmove|memchr|memset|sm_gather|sm_scatter\\w*|sm_fill|sm_select_\\w+|sm_convert_(read|write)|",
                  "sm_atomic_\\w+)\\s*\\([^;]*->data\\b")
  bad <- character()
  for (f in grep("src/r_(index|kernel|array)", c_files, value = TRUE)) {
    starts <- grep("^[[:alpha:]_].*\\)\\s*\\{\\s*$", bare[[f]])
    for (i in grep(touch, bare[[f]])) {
      start <- max(starts[starts <= i], 1L)
      guarded <- grepl("\\(void \\*\\w+\\) \\{$", bare[[f]][start]) || any(grepl("SM_ARRAY_MAGIC|r_index_fast", bare[[f]][start:i]))
      values <- grepl("v->data", bare[[f]][i], fixed = TRUE) # an R vector's
      if (!guarded && !values) bad <- c(bad, at(f, i, "an array's memory is touched outside of the guard"))
    }
  }
  bad
}

check_own_header_first <- function() {
  bad <- character()
  for (f in grep("\\.c$", c_files, value = TRUE)) {
    header <- sub("c$", "h", basename(f))
    if (!file.path("src", header) %in% c_files) next
    first <- grep("^#include", code_c[[f]])[1L]
    if (!identical(code_c[[f]][first], sprintf("#include \"%s\"", header)))
      bad <- c(bad, at(f, first, sprintf("the first include is not \"%s\"", header)))
  }
  bad
}

check_guards <- function() {
  headers <- grep("\\.h$", c_files, value = TRUE)
  has <- vapply(headers, function(f) any(code_c[[f]] == paste("#ifndef", toupper(gsub("[.]", "_", basename(f))))), NA)
  if (any(!has)) at(headers[!has], 1L, "no include guard named after the file") else character()
}

# Every ffi_ function that is defined has one row in init.c with its number of arguments, and is
# called from R/ with as many; and nothing else is registered or called.
check_border <- function() {
  all_c <- unlist(bare[setdiff(names(bare), "src/init.c")])
  text <- paste(all_c, collapse = "\n")
  m <- regmatches(text, gregexpr("\nSEXP ffi_\\w+\\([^)]*\\)\\s*\\{", text, perl = TRUE))[[1L]]
  defined <- sub("^SEXP (ffi_\\w+)\\(.*$", "\\1", trimws(gsub("\\s+", " ", m)))
  args <- trimws(sub("^.*?\\((.*)\\).*$", "\\1", gsub("\\s+", " ", m)))
  arity <- ifelse(args == "void", 0L, lengths(strsplit(args, ",")))
  init <- paste(bare[["src/init.c"]], collapse = "\n")
  rows <- regmatches(init, gregexpr("\\bffi_\\w+\\s*,\\s*[0-9]+\\s*[)}]", init, perl = TRUE))[[1L]]
  row_name <- sub("^(ffi_\\w+).*$", "\\1", rows)
  row_arity <- as.integer(sub("^.*,\\s*([0-9]+).*$", "\\1", rows))
  calls <- border_calls()
  # .External2() hands over call, operator, arguments and environment, however many arguments there are
  external <- defined %in% calls$name[calls$external]
  given <- ifelse(external & arity == 4L, row_arity[match(defined, row_name)], arity)
  wrong <- intersect(defined, row_name)
  wrong <- wrong[given[match(wrong, defined)] != row_arity[match(wrong, row_name)]]
  wrong <- c(wrong, defined[external & arity != 4L])
  bad_call <- calls[calls$name %in% defined & !calls$spread &
                      calls$nargs != given[match(calls$name, defined)], ]
  c(sprintf("src/init.c: no row for %s", setdiff(defined, row_name)),
    sprintf("src/init.c: a row for %s, which is not defined", setdiff(row_name, defined)),
    sprintf("src/init.c: %s has %d rows", names(which(table(row_name) > 1L)), table(row_name)[table(row_name) > 1L]),
    sprintf("src/init.c: wrong number of arguments for %s", wrong),
    sprintf("R/: nothing calls %s", setdiff(defined, calls$name)),
    sprintf("R/: %s is called and not defined", setdiff(calls$name, defined)),
    sprintf("R/: %s called with %d arguments", bad_call$name, bad_call$nargs))
}

# Symbols ffi_* in R code: calls `.Call(ffi_x, ...)`, with their number of arguments where it is
# plain to see, and other mentions (a symbol handed on), for which `spread` is TRUE.
border_calls <- function() {
  found <- list()
  visit <- function(e) {
    if (is.name(e)) {
      if (startsWith(as.character(e), "ffi_")) found[[length(found) + 1L]] <<- list(as.character(e), NA, TRUE, FALSE)
    } else if (is.call(e) && length(e) >= 2L && is.name(e[[2L]]) && startsWith(as.character(e[[2L]]), "ffi_") &&
               as.character(e[[1L]])[1L] %in% c(".Call", ".External", ".External2")) {
      rest <- as.list(e)[-(1:2)]
      spread <- any(vapply(rest, identical, NA, as.name("...")))
      found[[length(found) + 1L]] <<- list(as.character(e[[2L]]), length(rest), spread, as.character(e[[1L]]) == ".External2")
      for (x in rest) if (!missing(x)) visit(x)
    } else if (is.call(e) || is.pairlist(e) || is.expression(e)) {
      for (x in as.list(e)) if (!missing(x)) visit(x)
    }
  }
  for (f in r_files) visit(parse(f, keep.source = FALSE))
  data.frame(name = vapply(found, `[[`, "", 1L), nargs = vapply(found, function(x) as.integer(x[[2L]]), 1L),
             spread = vapply(found, `[[`, NA, 3L), external = vapply(found, `[[`, NA, 4L))
}

check_one_fork <- function() {
  hits <- unlist(lapply(names(bare), function(f) at(f, grep("(^|[^_[:alnum:]])v?fork\\s*\\(", bare[[f]]), "fork()")))
  if (length(hits) > 1L) hits else character()
}

check_file_length <- function() {
  files <- c(c_files, r_files, native_files, script_files)
  n <- lengths(read(files))
  sprintf("%s: %d lines, the limit is 500", files[n > 500L], n[n > 500L])
}

check_function_length <- function(limit = 80L) {
  bad <- character()
  for (f in c_files) {
    ends <- grep("^\\}", bare[[f]])
    starts <- grep("^[[:alpha:]_].*\\)\\s*\\{\\s*$|^\\{", bare[[f]])
    for (s in starts) {
      e <- ends[ends > s][1L]
      if (!is.na(e) && e - s + 1L > limit) bad <- c(bad, at(f, s, sprintf("a function of %d lines, the limit is %d", e - s + 1L, limit)))
    }
  }
  for (f in r_files) {
    for (ref in attr(parse(f, keep.source = TRUE), "srcref"))
      if (ref[3L] - ref[1L] + 1L > limit && any(grepl("function\\(", as.character(ref)[1:2])))
        bad <- c(bad, at(f, ref[1L], sprintf("a function of %d lines, the limit is %d", ref[3L] - ref[1L] + 1L, limit)))
  }
  bad
}

check_leftovers <- function() {
  all <- c(code_c, code_r)
  unlist(lapply(names(all), function(f) {
    i <- grep("\\b(TODO|FIXME|XXX)\\b", all[[f]])
    at(f, i, trimws(all[[f]][i]))
  }))
}

check_exports_documented <- function() {
  exports <- parseNamespaceFile(basename(getwd()), dirname(getwd()))$exports
  aliases <- unlist(lapply(list.files("man", "\\.Rd$", full.names = TRUE), function(f)
    sub("^\\\\alias\\{(.*)\\}$", "\\1", grep("^\\\\alias\\{", readLines(f), value = TRUE))))
  sprintf("man/: no page for %s", setdiff(exports, gsub("\\\\%", "%", aliases)))
}

# Every object in src/ compiled, its undefined symbols held against tools/NONAPI.txt.
check_symbols <- function() {
  banned <- grep("^#", readLines("tools/NONAPI.txt"), invert = TRUE, value = TRUE)
  if (getRversion() < "4.5.0") banned <- setdiff(banned, "ENCLOS") # R_ParentEnv() has come with 4.5
  dir <- tempfile("objects")
  dir.create(dir)
  on.exit(unlink(dir, recursive = TRUE))
  cc <- system2(file.path(R.home("bin"), "R"), c("CMD", "config", "CC"), stdout = TRUE)
  flags <- system2(file.path(R.home("bin"), "R"), c("CMD", "config", "--cppflags"), stdout = TRUE)
  unlist(lapply(grep("\\.c$", c_files, value = TRUE), function(f) {
    object <- file.path(dir, sub("c$", "o", basename(f)))
    status <- system(paste(cc, "-O1 -fPIC -pthread -c", flags, f, "-o", shQuote(object)))
    if (status != 0L) return(at(f, 1L, "does not compile"))
    undefined <- sub("^.* U ", "", system2("nm", c("-u", shQuote(object)), stdout = TRUE))
    undefined <- sub("^__(.*)_chk$", "\\1", sub("@.*$", "", trimws(undefined)))
    hit <- intersect(undefined, banned)
    if (length(hit)) at(f, 1L, paste("uses", hit, "(tools/NONAPI.txt)"))
  }))
}

# A test file stands beside the R file of its name, or is named after it and an aspect (test-map-errors.R beside map.R). Others are
# about what no single file holds:
tests_of_many <- c(coexistence = "other packages that fork, wait or run threads in the same session",
                   deaths = "workers and masters killed at each point of the protocol",
                   handle = "handles that travel, and what outlives them",
                   helpers = "the tests' own helpers",
                   hostile = "arguments and bytes made to do harm",
                   interrupts = "Ctrl-C at random moments, whatever runs",
                   mistakes = "what the messages of common mistakes say",
                   limits = "limits of the machine, the session and its sandbox",
                   mistakes = "mistakes that users make, and the messages that answer them",
                   output = "what workers print",
                   "random-base" = "random programs against base R",
                   readme = "README's code, and what README says it prints",
                   results = "values of every kind and size on their way to the master",
                   retries = "items run again, and those that must not be",
                   setup = "what a worker finds when it starts")

check_test_names <- function() {
  tested <- sub("^test-(.*)\\.R$", "\\1", list.files("tests/testthat", "^test-.*\\.R$"))
  concepts <- sub("\\.R$", "", basename(r_files))
  aspect <- vapply(tested, function(t) any(startsWith(t, paste0(concepts, "-"))), NA)
  strange <- tested[!tested %in% c(concepts, names(tests_of_many)) & !aspect]
  native <- sub("^test_(.*)\\.c$", "\\1", grep("/test_.*\\.c$", native_files, value = TRUE))
  c(sprintf("tests/testthat/test-%s.R: there is no R/%s.R", strange, strange),
    sprintf("tools/lint.R: there is no test-%s.R", setdiff(names(tests_of_many), tested)),
    unlist(lapply(grep("/test_.*\\.c$", native_files, value = TRUE), function(f)
      if (!any(grepl('#include "check.h"', readLines(f), fixed = TRUE))) at(f, 1L, "does not use check.h"))))
}

# The last column of the table of promises names a test: "file: its sentence".
check_promises <- function() {
  text <- readLines("bench/RELIABILITY.md")
  from <- match("## Promises", text)
  to <- min(grep("^## ", text)[grep("^## ", text) > from], length(text) + 1L)
  rows <- grep("^\\| ", text[from:(to - 1L)], value = TRUE)[-(1:2)]
  shown <- sub(".*\\| (.*) \\|$", "\\1", rows)
  file <- sprintf("tests/testthat/test-%s.R", sub(":.*", "", shown))
  there <- mapply(function(f, sentence) file.exists(f) && any(grepl(sprintf('"%s"', sentence), readLines(f), fixed = TRUE)),
                  file, sub("^[^:]*: ", "", shown))
  c(if (length(rows) < 10L) "bench/RELIABILITY.md: the table of promises is not found",
    sprintf("bench/RELIABILITY.md: there is no test \"%s\"", shown[!there]))
}

# Differences from .clang-format; NA where there is no clang-format.
check_format <- function() {
  if (!nzchar(Sys.which("clang-format"))) return(NA)
  out <- suppressWarnings(system2("tools/format.sh", "--check", stdout = TRUE, stderr = TRUE))
  grep("error:", out, value = TRUE)
}

check_lintr <- function() {
  if (!requireNamespace("lintr", quietly = TRUE)) return(NA)
  found <- lintr::lint_dir("R", parse_settings = TRUE)
  vapply(found, function(l) at(file.path("R", basename(l$filename)), l$line_number, paste0(l$message, " (", l$linter, ")")), "")
}

checks <- list(
  "C code has the format of .clang-format" = check_format,
  "R code is as .lintr has it" = check_lintr,
  "tests stand beside what they test, native ones use check.h" = check_test_names,
  "core files include only what their layer may" = check_layers,
  "glue files include only what their room may" = check_rooms,
  "no circle of includes" = check_circles,
  "no line outgrows 140 columns" = check_line_length,
  "no C function has more than 6 parameters" = check_parameters,
  "arrays are touched under the guard" = check_guarded,
  "each .c file includes its own header first" = check_own_header_first,
  "headers have guards named after the file" = check_guards,
  "ffi_ functions, rows of init.c and calls in R/ agree" = check_border,
  "fork() is called on one line" = check_one_fork,
  "no file outgrows 500 lines" = check_file_length,
  "no function outgrows 80 lines" = check_function_length,
  "nothing is left to do in the code" = check_leftovers,
  "every promise in bench/RELIABILITY.md has its test" = check_promises,
  "every export has a page" = check_exports_documented,
  "objects use no symbol of tools/NONAPI.txt" = check_symbols)

failed <- skipped <- 0L
for (name in names(checks)) {
  bad <- checks[[name]]()
  skip <- identical(bad, NA)
  skipped <- skipped + skip
  failed <- failed + (length(bad) > 0L && !skip)
  cat(if (skip) "skipped" else if (length(bad)) "FAILED" else "ok    ", name, "\n")
  if (!skip) cat(paste0("       ", bad, "\n", recycle0 = TRUE), sep = "")
}
counts <- c(length(checks) - failed - skipped, failed, skipped)
if (nzchar(Sys.getenv("COUNTS"))) cat(counts, "\n", file = Sys.getenv("COUNTS"))
cat(sprintf("%d passed, %d failed, %d skipped\n", counts[1], counts[2], counts[3]))
quit(status = as.integer(failed > 0L))
