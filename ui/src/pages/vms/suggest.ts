/** A name to begin with, so that nobody has to invent one: two words, like "calm-heron". Pure but for the dice given. */
const FIRST = [
  "brave",
  "calm",
  "clever",
  "eager",
  "gentle",
  "keen",
  "lively",
  "mellow",
  "nimble",
  "quiet",
  "swift",
  "witty",
]
const SECOND = [
  "badger",
  "falcon",
  "heron",
  "ibex",
  "lynx",
  "marten",
  "otter",
  "raven",
  "robin",
  "stoat",
  "tapir",
  "wren",
]

/** `dice` gives 0 to 1 */
export function suggestName(dice: () => number): string {
  const pick = (words: string[]) => words[Math.floor(dice() * words.length)] ?? words[0]
  return `${pick(FIRST)}-${pick(SECOND)}-${Math.floor(dice() * 900) + 100}`
}
