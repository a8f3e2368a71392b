/** Diff: what is different between two texts, line by line. Pure; costs lines x lines, for texts of some thousand lines. */

export type DiffLine = { sign: " " | "-" | "+"; text: string }

/** The longest common lines stay; the rest is taken out or put in. */
export function diffLines(before: string, after: string): DiffLine[] {
  const a = before.split("\n")
  const b = after.split("\n")
  const width = b.length + 1
  const common = new Uint32Array((a.length + 1) * width) // length of what a[i:] and b[j:] have in common
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i * width + j] =
        a[i] === b[j]
          ? (common[(i + 1) * width + j + 1] ?? 0) + 1
          : Math.max(common[(i + 1) * width + j] ?? 0, common[i * width + j + 1] ?? 0)
    }
  }
  const lines: DiffLine[] = []
  let i = 0
  let j = 0
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push({ sign: " ", text: a[i] ?? "" })
      i += 1
      j += 1
    } else if (
      j >= b.length ||
      (i < a.length && (common[(i + 1) * width + j] ?? 0) >= (common[i * width + j + 1] ?? 0))
    ) {
      lines.push({ sign: "-", text: a[i] ?? "" })
      i += 1
    } else {
      lines.push({ sign: "+", text: b[j] ?? "" })
      j += 1
    }
  }
  return lines
}

/** Only what changed, with some lines around it; null stands for lines that were left out. */
export function aroundChanges(lines: DiffLine[], around = 3): (DiffLine | null)[] {
  const near = lines.map((_, n) =>
    lines.slice(Math.max(0, n - around), n + around + 1).some(line => line.sign !== " "),
  )
  const shown: (DiffLine | null)[] = []
  for (const [n, line] of lines.entries()) {
    if (near[n]) shown.push(line)
    else if (shown.at(-1) !== null) shown.push(null)
  }
  return shown
}

export function isSame(lines: DiffLine[]): boolean {
  return lines.every(line => line.sign === " ")
}
