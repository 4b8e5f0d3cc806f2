# The speed targets against the figures of one run, a line each: what, needed, measured, met or missed. Arguments: the
# TSVs of bench_net, peer_torch.py, bench_net again, bench_scan and bench_gemm, in this order.
BEGIN { FS = "\t"; flop = 44.8e9 } # matrix products of the training step at L = 512, B = 8
FNR == 1 { file++; next }
file == 1 { ours[$1] = $3; least[$1] = $4; next }
file == 3 { ours[$1] = (ours[$1] + $3) / 2; if ($4 < least[$1]) least[$1] = $4; next }
file == 2 {
  if (!($1 in any) || $3 < any[$1]) any[$1] = $3
  if ($2 !~ /compile/ && (!($1 in eager) || $3 < eager[$1])) eager[$1] = $3
  next
}
file == 4 { if ($2 == "1 x 2048" && $3 == 1 && $8 != "-") { scan = $8; own = $10 } next } # the fastest version comes last
file == 5 { if ($2 == 2 && $6 > peak) peak = $6; next }

function line(what, needed, measured, met) {
  printf "%-44s %-14s %9.2f  %s\n", what, needed, measured, met ? "met" : "missed"
}
function ratio(name, needed) {
  if (!(name in ours) || !(name in any)) return
  if (name in eager) line(name ", eager PyTorch", "at least " needed, eager[name] / ours[name], eager[name] >= needed * ours[name])
  line(name ", torch.compile allowed", "at least " needed, any[name] / ours[name], any[name] >= needed * ours[name])
}
function per_token(  name, tokens, cost, low, high) {
  for (name in least) {
    if (name !~ /^infer-L/) continue
    tokens = substr(name, 8) + 0
    cost = least[name] / tokens
    if (!low || cost < low) low = cost
    if (cost > high) high = cost
  }
  if (low) line("cost per token, most / least, L = 256 to 8192", "at most 1.10", high / low, high <= 1.10 * low)
}
END {
  printf "%-44s %-14s %9s\n", "target", "needed", "measured"
  ratio("train-L2-B32", 4)
  ratio("train-L512-B8", 2.5)
  ratio("infer-L2048-B1", 3)
  per_token()
  if (scan) line("forward scan / exponentials, textbook loop", "at most 1.20", scan, scan <= 1.2)
  if (own) line("forward scan / exponentials, its own loop", "(stricter) 1.20", own, own <= 1.2)
  name = "train-L512-B8"
  if (peak && name in ours) {
    share = flop / (ours[name] * 1e6) / peak
    line(name ", share of the peak", "at least 0.60", share, share >= 0.6)
  }
}
