# Measures the package beside base R and whichever peers are installed, and writes bench/RESULTS.md
# (a quick run writes to the terminal alone).
#
#   Rscript bench/bench.R [--quick] [THEME...]
#
# THEME is the name of a file, bench/theme-THEME.R; without one all run.

library(sharedmem)
source("bench/harness.R")

themes <- setdiff(commandArgs(TRUE), "--quick")
if (length(themes) == 0L) themes <- sub("^theme-(.*)\\.R$", "\\1", list.files("bench", "^theme-.*\\.R$"))

put("# Results")
put("")
put(machine_text(), ", ", format(Sys.Date()), ".")
put("")
put("Medians of interleaved runs in one session a theme, 2 workers unless said otherwise; the ratio is to the first row")
put("of its work. Made by `make bench`.")
start <- proc.time()[["elapsed"]]
for (theme in themes) source(file.path("bench", sprintf("theme-%s.R", theme)), local = new.env())

packages <- c("sharedmem", "parallel", "future.apply", "BiocParallel", "foreach", "doMC", "pbmcapply", "mirai",
              "synchronicity", "bigmemory", "data.table", "SharedObject")
here <- packages[nzchar(vapply(packages, function(p) system.file(package = p), ""))]
put("")
put("Versions: ", paste(here, vapply(here, function(p) format(packageVersion(p)), ""), collapse = ", "), ".")
if (!quick) writeLines(the_results$lines, "bench/RESULTS.md")
cat(sprintf("\n%.0f s\n", proc.time()[["elapsed"]] - start))
