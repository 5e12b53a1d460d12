// Numbers for people: three digits, a true minus.
function number(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value === "string") return {nan: "NaN", inf: "∞", "-inf": "−∞"}[value] || value;
  if (value === 0) return "0";
  const size = Math.abs(value);
  let text = size >= 1e-3 && size < 1e5 ? String(Number(value.toPrecision(3)))
                                        : value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
  return text.replaceAll("-", "−");
}

// Decay, epsilon and the like in full: 1e-05, 0.999.
function exact(value) {
  if (typeof value !== "number") return number(value);
  const size = Math.abs(value);
  return (size !== 0 && size < 1e-4 ? value.toExponential() : String(value)).replaceAll("-", "−");
}

function percent(share) {
  if (share > 0 && share < 1e-4) return "below 0.01 %";
  return `${Number((100 * share).toPrecision(3))} %`;
}

function bytes(count) {
  const units = ["B", "KB", "MB", "GB", "TB", "PB"];
  let at = 0;
  while (count >= 1000 && at < units.length - 1) {
    count /= 1000;
    ++at;
  }
  return `${at === 0 ? count : count.toFixed(1)} ${units[at]}`;
}

// Marks of a logarithmic axis over [10^low, 10^high].
function powerTicks(low, high) {
  const every = Math.max(1, Math.ceil((high - low) / 6)), marks = [];
  for (let power = Math.floor(low); power <= high; ++power) {
    if (power % every !== 0) continue;
    for (const factor of high - low > 2 ? [1] : [1, 2, 5]) {
      const at = power + Math.log10(factor);
      if (at >= low && at <= high) marks.push(Number(`${factor}e${power}`));
    }
  }
  return marks;
}

const baseName = path => path.replace(/\/+$/, "").split("/").pop();
const finite = value => typeof value === "number" && Number.isFinite(value);
// As a number, where JSON has the infinite ones as words.
const real = value => ({inf: Infinity, "-inf": -Infinity, nan: NaN}[value] ?? value);
