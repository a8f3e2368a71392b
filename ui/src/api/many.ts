/** Many: the same for each of many, a few at a time, in order. A cut leaves the rest undone. */
export async function eachOf<T>(
  all: readonly T[],
  atOnce: number,
  cut: AbortSignal | undefined,
  act: (one: T) => Promise<void>,
): Promise<void> {
  let next = 0
  const worker = async () => {
    while (next < all.length && !cut?.aborted) {
      const one = all[next] as T
      next += 1
      await act(one)
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, all.length) }, worker))
}
