# The tests of R's own package parallel, with our functions and our cluster in place of its own; from R's source as Debian has it.
source("tools/suites/common.R")
needed("boot", "MASS")

# The folder with the tests, or NULL: the machine's own package sources are asked for the source of r-base.
r_tests <- function() {
  dir <- file.path(suites_dir, "r-base")
  found <- function() Sys.glob(file.path(dir, "*", "src", "library", "parallel", "tests"))
  if (length(found())) return(found()[1L])
  lists <- list.files("/etc/apt", "\\.(list|sources)$", full.names = TRUE, recursive = TRUE)
  if (!nzchar(Sys.which("apt-get")) || !length(lists)) return(NULL)
  unlink(dir, recursive = TRUE)
  for (sub in c("parts", "lists/partial")) dir.create(file.path(dir, sub), recursive = TRUE)
  for (file in lists) {
    code <- sub("^deb ", "deb-src ", sub("^Types: deb$", "Types: deb-src", readLines(file)))
    writeLines(code, file.path(dir, "parts", basename(file)))
  }
  old <- setwd(dir)
  on.exit(setwd(old))
  options <- sprintf("-qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=%s/parts -o Dir::State::lists=%s/lists", dir, dir)
  system(paste("apt-get", options, "update"), ignore.stderr = TRUE)
  system(paste("apt-get", options, "source --download-only r-base"), ignore.stdout = TRUE, ignore.stderr = TRUE)
  tarball <- Sys.glob("r-base_*.orig.tar.*")
  if (!length(tarball)) return(NULL)
  system(paste("tar xf", shQuote(tarball[1L]), "--wildcards '*/src/library/parallel/tests'"))
  unlink(c("parts", "lists", "r-base_*"), recursive = TRUE)
  if (length(found())) found()[1L]
}

tests <- r_tests()
if (is.null(tests)) {
  skipped("R's source cannot be had here")
  finish()
}
waived("multicore1", "it calls parallel's internal mcfork() alone, which we do not replace")
waived("RSeed", "it unloads and loads package parallel, and touches no function of ours")

# What a script prints with our functions; `numbers`: may its numbers be compared with parallel's?
for (name in c("multicore2", "multicore3", "snow1", "snow2")) {
  code <- readLines(file.path(tests, paste0(name, ".RR")))
  code <- sub("^library\\(parallel\\)$", "library(parallel); suppressPackageStartupMessages(library(sharedmem))", code)
  code <- sub("makeCluster(", "sharedmem::make_shared_cluster(", code, fixed = TRUE)
  code <- c(code, "stopifnot(!exists(\"res\") || !any(vapply(res, inherits, NA, \"try-error\")))")
  file <- tempfile(fileext = ".R")
  writeLines(code, file)
  r <- run_file(file, tests)
  if (r$status == 0L) passed() else failed(name, ":\n", paste(utils::tail(r$log, 20L), collapse = "\n"))
  if (name == "multicore3") {
    columns <- grep("^\\[[1-4],\\]", r$log, value = TRUE)
    draws <- lapply(strsplit(trimws(sub("^\\[[1-4],\\]", "", columns)), " +"), as.numeric)
    same <- vapply(draws, function(row) length(unique(row)) == 1L, NA)
    if (identical(same, rep(c(FALSE, TRUE), each = 4L))) passed() else failed("multicore3: mc.set.seed = FALSE did not give equal numbers")
  }
  if (name == "snow2") {
    # clusterSetRNGStream() sets the nodes' generators, so these numbers are parallel's to the last digit
    want <- grep("^Level|^90%|^95%|Intervals", readLines(file.path(tests, "snow2.Rout.save")), value = TRUE)
    if (length(want) && all(want %in% r$log)) passed() else failed("snow2: numbers differ from snow2.Rout.save")
  }
}
waived("multicore2's numbers", "a map's items draw from hashed generators, not from nextRNGStream()'s, whatever the number of cores")
finish()
