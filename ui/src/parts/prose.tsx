/** Prose: a sentence of the server's, with what stands between backticks as code. */
export function Prose({ text }: { text: string }) {
  return (
    <span dir="auto">
      {text.split("`").map((piece, n) =>
        // biome-ignore lint/suspicious/noArrayIndexKey: pieces of one text have no other name
        n % 2 === 1 ? <code key={n}>{piece}</code> : piece,
      )}
    </span>
  )
}
