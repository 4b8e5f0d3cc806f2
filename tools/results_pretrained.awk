# The section "Pretrained encoders" from the tables of crossmamba eval; file names are pre-SET-ENCODERS.tsv.
function cell(model,   k) {
  k = name SUBSEP model SUBSEP fold SUBSEP metric
  return (k in pooled) ? sprintf("%.3f [%.3f, %.3f]", pooled[k], low[k], high[k]) : "-"
}
function row(set, encoders, file, on, what) {
  name = file; fold = on; metric = what
  if (!((name SUBSEP "crossmamba" SUBSEP fold SUBSEP metric) in pooled)) return
  printf "| %s | %s | %s | %s | %s | %s |\n", set, encoders, metric, cell("crossmamba"), cell("mlp"), cell("id-only")
}
BEGIN { FS = "\t" }
FNR == 1 { file = FILENAME; sub(/.*\//, "", file); sub(/^pre-/, "", file); sub(/\.tsv$/, "", file); next }
{
  k = file SUBSEP $1 SUBSEP $2 SUBSEP $3
  pooled[k] = $4; low[k] = $5; high[k] = $6
}
END {
  print "## Pretrained encoders\n"
  print "Made by `tools/results_pretrained.sh PROGRAM FOLDER`, which `make results` runs last, with real weights and embeddings of"
  print "datasets/README.md: RNA-FM embeddings of the R-SIM RNAs (`store import`), the GCN of pretrain-gnns (context"
  print "prediction), RNABERT. `" settings "`; pooled values with 95 % intervals, as"
  print "above. *Built-in* is the same run with k-mer spectra and Morgan fingerprints.\n"
  print "| set | encoders | metric | crossmamba | mlp | id-only |"
  print "|---|---|---|---|---|---|"
  row("R-SIM, 10-fold", "built-in", "rsim-builtin", "all", "Pearson")
  row("R-SIM, 10-fold", "RNA-FM, Morgan", "rsim-rnafm", "all", "Pearson")
  row("R-SIM, 10-fold", "k-mers, GCN", "rsim-molgraph", "all", "Pearson")
  row("R-SIM, 10-fold", "RNA-FM, GCN", "rsim-both", "all", "Pearson")
  row("RPI1460, 10-fold", "built-in", "rpi1460-builtin", "all", "MCC")
  row("RPI1460, 10-fold", "RNABERT, k-mers", "rpi1460-rnabert", "all", "MCC")
  n = split("gma mtr", species, " ")
  for (i = 1; i <= n; i++) {
    row("plant, ath > " species[i], "built-in", "plant-builtin", species[i], "accuracy")
    row("plant, ath > " species[i], "RNABERT, RNABERT", "plant-rnabert", species[i], "accuracy")
  }
}
