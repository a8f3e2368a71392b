/**
 * Picture: something that the server draws anew as it changes, shared by all who look at it.
 *
 * In this room   Picture: read once, kept up to date by a stream of its own for as long as somebody looks
 * Comes in       where to read it and where to follow it; how an event changes it (pure)
 * Goes out       the newest one, at most one a frame
 * Always true    nothing is missed: it is read again when the stream begins later than what was read
 * Next door      fleet.ts has the overview and the cells of all nodes; live.ts follows resources
 */
import { getJson, Problem } from "./client"
import { follow } from "./stream"

type Source<T, News> = {
  path: string
  event: string
  /** what an event makes of it */
  apply: (picture: T, news: News) => T
  revisionOf: (of: T | News) => number
}
export type Seen<T> = { data: T | undefined; error: Error | null }

export class Picture<T, News> {
  private seen: Seen<T> = { data: undefined, error: null }
  private watchers = new Set<() => void>()
  private waiting: News[] = []
  private stop: (() => void) | undefined
  private frame = 0

  constructor(private readonly source: Source<T, News>) {}

  subscribe = (watcher: () => void): (() => void) => {
    this.watchers.add(watcher)
    if (this.watchers.size === 1) this.begin()
    return () => {
      this.watchers.delete(watcher)
      if (this.watchers.size === 0) this.end()
    }
  }

  snapshot = (): Seen<T> => this.seen

  read = async (): Promise<void> => {
    try {
      const data = await getJson<T>(this.source.path)
      this.show({ data, error: null })
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      this.show({ ...this.seen, error })
    }
  }

  private begin(): void {
    void this.read()
    let first = true
    this.stop = follow({
      path: () => `${this.source.path}?watch=true`,
      onLink: link => {
        first ||= link !== "open"
      },
      onEvent: event => {
        if (event.event !== this.source.event) return
        const news = JSON.parse(event.data) as News
        const { data } = this.seen
        if (first && data && this.source.revisionOf(news) > this.source.revisionOf(data)) void this.read()
        first = false
        this.waiting.push(news)
        if (!this.frame) this.frame = requestAnimationFrame(() => this.flush())
      },
      onProblem: () => true, // also when the session has ended: it goes on once somebody has signed in again
    })
  }

  private end(): void {
    this.stop?.()
    cancelAnimationFrame(this.frame)
    this.frame = 0
    this.waiting = []
  }

  /** What comes before the first reading waits for it. */
  private flush(): void {
    this.frame = 0
    if (!this.seen.data || this.waiting.length === 0) return
    const data = this.waiting.reduce(this.source.apply, this.seen.data)
    this.waiting = []
    this.show({ data, error: null })
  }

  private show(seen: Seen<T>): void {
    this.seen = seen
    for (const watcher of this.watchers) watcher()
    if (seen.data && this.waiting.length > 0 && !this.frame) {
      this.frame = requestAnimationFrame(() => this.flush())
    }
  }
}
