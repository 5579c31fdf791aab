# Counts which lines of C and R the tests reach, forked children and killed workers included: `make coverage`.
#
#   Rscript tools/coverage.R [build] [run] [report]   (without arguments: all three, some 50 minutes)
#
# A copy of the package is built into .build/coverage/lib. Its C code is compiled by clang, whose counters are kept in a file that all
# processes have mapped ("%c"), so that the counts of a process survive its SIGKILL. In its R code a call of .hit() stands before each
# expression; it adds the expression's number to a file when this process reaches the expression for the first time.
# `report` writes section "Coverage" of bench/RELIABILITY.md, and each line that was not reached to .build/coverage/missed.txt.
source("tools/reliability.R")
steps <- commandArgs(TRUE)
if (!length(steps)) steps <- c("build", "run", "report")
root <- getwd()
top <- file.path(root, ".build", "coverage")
copy <- file.path(top, "sharedmem")
lib <- file.path(top, "lib")
hits <- file.path(top, "hits")
counts <- file.path(top, "counts")
flags <- sprintf("-fprofile-instr-generate=%s/%%c%%m.profraw -fcoverage-mapping -mllvm -runtime-counter-relocation", counts)

# ---- R: .hit() before each expression ----

# What is quoted runs elsewhere, where there is no .hit().
quoting <- c("quote", "bquote", "substitute", "expression", "alist", "evalq", "mirai")

# The expressions of a file that are statements of a block, a body or a branch in a function: their place, and whether they need braces.
find_expressions <- function(file) {
  d <- utils::getParseData(parse(file, keep.source = TRUE))
  d <- d[d$token != "COMMENT", ]
  kids <- split(seq_len(nrow(d)), factor(d$parent, levels = d$id))
  out <- list()
  walk <- function(row, inside) {
    k <- kids[[as.character(d$id[row])]]
    if (!length(k)) return()
    token <- d$token[k]
    whole <- k[!d$terminal[k]]
    if (token[1L] == "expr") {
      called <- kids[[as.character(d$id[k[1L]])]]
      name <- if (length(called)) d$text[utils::tail(called, 1L)] else ""
      if (name %in% quoting || "'~'" %in% token) return()
      if (name == "switch" && inside) take(whole[-(1:2)], TRUE)
    }
    if ("'~'" %in% token) return()
    if (token[1L] == "'{'") { if (inside) take(whole, FALSE) }
    else if (token[1L] %in% c("FUNCTION", "'\\\\'")) { inside <- TRUE; take(utils::tail(whole, 1L), TRUE) }
    else if (token[1L] == "IF" && inside) take(whole[-1L], TRUE)
    else if (token[1L] %in% c("FOR", "WHILE", "REPEAT") && inside) take(utils::tail(whole, 1L), TRUE)
    for (i in whole) walk(i, inside)
  }
  take <- function(rows, wrap) for (i in rows) {
    k <- kids[[as.character(d$id[i])]]
    if (length(k) && d$token[k[1L]] == "'{'") next # its statements count
    out[[length(out) + 1L]] <<- data.frame(line1 = d$line1[i], col1 = d$col1[i], line2 = d$line2[i], col2 = d$col2[i], wrap = wrap)
  }
  for (i in which(d$parent == 0L & !d$terminal)) walk(i, FALSE)
  do.call(rbind, out)
}

instrument <- function(file, first) {
  found <- find_expressions(file)
  if (is.null(found)) return(NULL)
  found <- found[!duplicated(found[1:4]), ]
  found$id <- first + seq_len(nrow(found)) - 1L
  text <- readLines(file, encoding = "UTF-8")
  # from the end, and of two at one place the inner first, so that places before stay right
  put <- rbind(data.frame(line = found$line1, col = found$col1, end = FALSE, span = -(found$line2 * 1000 + found$col2),
                          text = sprintf(if (nrow(found)) "%s.hit(%dL); ", ifelse(found$wrap, "{ ", ""), found$id)),
               data.frame(line = found$line2, col = found$col2 + 1L, end = TRUE, span = found$line1 * 1000 + found$col1,
                          text = ifelse(found$wrap, " }", ""))[found$wrap, ])
  put <- put[order(put$line, put$col, !put$end, put$span, decreasing = TRUE), ]
  for (i in seq_len(nrow(put))) {
    old <- text[put$line[i]]
    text[put$line[i]] <- paste0(substr(old, 1L, put$col[i] - 1L), put$text[i], substr(old, put$col[i], nchar(old)))
  }
  writeLines(text, file, useBytes = TRUE)
  found$file <- file.path("R", basename(file))
  found
}

instrument_all <- function() {
  table <- NULL
  for (file in list.files(file.path(copy, "R"), "\\.R$", full.names = TRUE))
    table <- rbind(table, instrument(file, 1L + NROW(table)))
  saveRDS(table, file.path(top, "expressions.rds"))
  writeLines(c(".hit <- local({",
               sprintf("  seen <- logical(%d)", nrow(table)),
               "  function(i) if (!seen[i]) {",
               "    seen[i] <<- TRUE",
               sprintf("    suppressWarnings(tryCatch(cat(i, \"\\n\", file = \"%s\", append = TRUE), error = function(e) 0))", hits),
               "  }", "})"), file.path(copy, "R", "a-hit.R"))
}

# ---- the three steps ----

must <- function(...) if (system2(...) != 0L) stop("failed: ", paste(unlist(list(...)[1:2]), collapse = " "))

build <- function() {
  unlink(top, recursive = TRUE)
  for (d in c(copy, lib, counts)) dir.create(d, recursive = TRUE)
  file.copy(c("DESCRIPTION", "NAMESPACE", "LICENSE", "R", "src", "inst"), copy, recursive = TRUE)
  unlink(list.files(file.path(copy, "src"), "\\.(o|so)$", full.names = TRUE))
  instrument_all()
  writeLines(c("CC = clang", paste("CFLAGS = -g -O1", flags), "SHLIB_LDFLAGS = -shared -fprofile-instr-generate"),
             file.path(top, "Makevars"))
  must("R", c("CMD", "INSTALL", "--no-docs", "--no-test-load", "-l", lib, copy),
       env = c("MAKE='make -j2'", paste0("R_MAKEVARS_USER=", top, "/Makevars")), stdout = file.path(top, "install.log"),
       stderr = file.path(top, "install.log"))
  unlink(c(hits, list.files(counts, full.names = TRUE)))
}

run <- function() {
  file.create(hits)
  Sys.chmod(c(hits, counts), "777", use_umask = FALSE)
  libs <- c(lib, if (dir.exists(".suites-lib")) file.path(root, ".suites-lib"), Sys.getenv("R_LIBS"))
  system2("Rscript", "tools/test.R", env = paste0("R_LIBS=", paste(libs, collapse = ":")))
  system2("tools/native.sh", c("coverage", "clang"), env = sprintf("COVERAGE='%s'", flags))
  system2("Rscript", c("--vanilla", "tools/faults.R", "--seconds=1500"), env = paste0("R_LIBS=", paste(libs, collapse = ":")))
}

sources <- local({
  read <- list()
  function(file) {
    if (is.null(read[[file]])) read[[file]] <<- readLines(file)
    read[[file]]
  }
})

# Each line of code of each C file and how often it ran, over the package's library and the native tests' programs.
c_lines <- function() {
  profile <- file.path(top, "profile")
  must("llvm-profdata", c("merge", "-sparse", "-o", profile, list.files(counts, full.names = TRUE)))
  programs <- Filter(function(f) file.access(f, 1L) == 0L && !grepl("\\.", basename(f)),
                     list.files(".build/native/coverage-clang", "^(test|fuzz)_", full.names = TRUE))
  text <- system2("llvm-cov", c("export", "-format=lcov", file.path(lib, "sharedmem/libs/sharedmem.so"), sprintf("-object=%s", programs),
                                paste0("-instr-profile=", profile)), stdout = TRUE)
  file <- cumsum(startsWith(text, "SF:"))
  name <- sub("^SF:", "", text[startsWith(text, "SF:")])
  at <- grep("^DA:", text)
  n <- read.table(text = sub("^DA:", "", text[at]), sep = ",")
  d <- data.frame(file = file.path("src", basename(name[file[at]])), line = n[[1L]], count = n[[2L]])
  d <- d[file.exists(d$file), ]
  d <- d[!mapply(function(f, l) grepl("^[{} ;]*$", sources(f)[l]), d$file, d$line), ] # where a block only ends
  stats::aggregate(count ~ file + line, d, max)
}

# Each line of R code: that of the smallest expression around it; a line on which several begin counts if one of them ran.
r_lines <- function() {
  table <- readRDS(file.path(top, "expressions.rds"))
  ran <- unique(scan(hits, quiet = TRUE))
  table$count <- as.integer(table$id %in% ran)
  table$span <- table$line2 - table$line1
  out <- lapply(split(table, table$file), function(t) {
    lines <- unlist(lapply(seq_len(nrow(t)), function(i) t$line1[i]:t$line2[i]))
    of <- rep(seq_len(nrow(t)), t$span + 1L)
    begins <- t$line1[of] == lines
    text <- sources(t$file[1L])
    best <- vapply(split(seq_along(of), lines), function(k) {
      if (any(begins[k])) max(t$count[of[k][begins[k]]]) else t$count[of[k][which.min(t$span[of[k]])]]
    }, 1L)
    d <- data.frame(file = t$file[1L], line = as.integer(names(best)), count = best)
    d[!grepl("^[][(){}, ]*(else)?[][(){}, ]*(#.*)?$", text[d$line]), ]
  })
  list(lines = do.call(rbind, out), expressions = table)
}

# The lines of the report of one language, and the missed lines of it.
summarize <- function(d, title) {
  per <- stats::aggregate(cbind(reached = count > 0, all = 1) ~ file, d, sum)
  per$share <- 100 * per$reached / per$all
  low <- per[per$share < 95, ]
  low <- low[order(low$share), ]
  reached <- sum(per$reached)
  list(text = c(sprintf("- %s: %d of %d lines reached, %.1f %%", title, reached, nrow(d), 100 * reached / nrow(d)),
                if (nrow(low)) sprintf("  below 95 %%: %s", paste(sprintf("%s %.0f %%", low$file, low$share), collapse = ", "))),
       missed = d[d$count == 0L, ])
}

# The missed lines of a file that no reached line parts are a block. tools/unreached.tsv says why a block is not reached: the file, the
# text of the block's first line, the reason. Blocks without one are written to .build/coverage/unexplained.txt.
explain <- function(all, missed) {
  all <- all[order(all$file, all$line), ]
  block <- cumsum(all$count > 0L | c(TRUE, all$file[-1L] != all$file[-nrow(all)]))[all$count == 0L]
  first <- missed[!duplicated(block), ]
  known <- utils::read.delim("tools/unreached.tsv", quote = "", comment.char = "")
  key <- paste(first$file, trimws(first$text))
  named <- paste(known$file, known$text)
  first$why <- known$reason[match(key, named)]
  open <- missed[block %in% unique(block)[is.na(first$why)], ]
  writeLines(sprintf("%s:%d: %s", open$file, open$line, open$text), file.path(top, "unexplained.txt"))
  gone <- known[!named %in% key, ]
  if (nrow(gone)) cat("of tools/unreached.tsv, reached or gone:", sprintf("  %s: %s", gone$file, gone$text), sep = "\n")
  sprintf("- %d blocks of lines were not reached, %d of them with a reason in tools/unreached.tsv", nrow(first), sum(!is.na(first$why)))
}

report <- function() {
  c_all <- c_lines()
  cl <- summarize(c_all, "C")
  r <- r_lines()
  rl <- summarize(r$lines, "R")
  missed <- rbind(cl$missed, rl$missed)
  missed <- missed[order(missed$file, missed$line), ]
  missed$text <- mapply(function(f, l) sources(f)[l], missed$file, missed$line)
  writeLines(sprintf("%s:%d: %s", missed$file, missed$line, missed$text), file.path(top, "missed.txt"))
  why <- explain(rbind(c_all, r$lines), missed)
  x <- r$expressions
  write_section("Coverage", "make coverage", c(
    cl$text, rl$text,
    sprintf("- R: %d of %d expressions (statements, bodies, branches) reached, %.1f %%", sum(x$count), nrow(x), 100 * mean(x$count)),
    "- counted over the whole suite, the native tests and the programs whose calls fail (`make faults`), in every process, killed workers",
    "  included", why))
  cat(cl$text, rl$text, why, sep = "\n")
}

for (step in steps) switch(step, build = build(), run = run(), report = report(), stop("unknown step: ", step))
