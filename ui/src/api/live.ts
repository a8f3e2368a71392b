/**
 * Live: one stream of changes for the whole page, written into what is cached.
 *
 * In this room   Live: which kinds are watched, from which revision on, and who hears of changes
 * Comes in       /api/v1/watch; kinds that the pages on screen need
 * Goes out       changes in batches, one a frame; the state of the connection
 * Always true    nothing is missed: a break goes on from the last revision, and when the server has forgotten it
 *                everything on screen is read again
 * Next door      stream.ts holds the connection; cache.ts and window.ts take the changes
 */
import type { Change } from "./changes"
import { type Kind, PLURAL } from "./kinds"
import { follow, type Link } from "./stream"

export type LiveState = { link: Link; signedOut: boolean; brokenSince: number | null }
type Hearer = (changes: readonly Change[]) => void

const SETTLE_MS = 50 // a new page asks for several kinds at once

export class Live {
  state: LiveState = { link: "connecting", signedOut: false, brokenSince: null }
  private revision: number | null = null
  private wanted = new Map<Kind, number>()
  private hearers = new Set<Hearer>()
  private watchers = new Set<() => void>()
  private lost = new Set<(before: number, kinds: ReadonlySet<string>) => void>()
  private stop: (() => void) | undefined
  private running = ""
  private settling: ReturnType<typeof setTimeout> | undefined
  private waiting: Change[] = []
  private frame = 0

  /** Watch a kind from a revision on that was read; returns how to stop. */
  want(kind: Kind): () => void {
    this.wanted.set(kind, (this.wanted.get(kind) ?? 0) + 1)
    this.settle()
    return () => {
      const count = (this.wanted.get(kind) ?? 1) - 1
      if (count > 0) this.wanted.set(kind, count)
      else this.wanted.delete(kind)
      this.settle()
    }
  }

  hear(hearer: Hearer): () => void {
    this.hearers.add(hearer)
    return () => this.hearers.delete(hearer)
  }

  /** When changes of these kinds (plural) may have been missed by what was read before this revision. */
  onLost(hearer: (before: number, kinds: ReadonlySet<string>) => void): () => void {
    this.lost.add(hearer)
    return () => this.lost.delete(hearer)
  }

  subscribe = (watcher: () => void): (() => void) => {
    this.watchers.add(watcher)
    return () => this.watchers.delete(watcher)
  }

  snapshot = (): LiveState => this.state

  restart(): void {
    this.running = ""
    this.say({ signedOut: false })
    this.settle()
  }

  private settle(): void {
    clearTimeout(this.settling)
    this.settling = setTimeout(() => this.connect(), SETTLE_MS)
  }

  private connect(): void {
    const kinds = [...this.wanted.keys()].map(kind => PLURAL[kind]).sort()
    const key = kinds.join(",")
    if (key === this.running) return
    const followed = this.stop ? this.running.split(",") : []
    const more = new Set(kinds.filter(kind => !followed.includes(kind)))
    if (more.size === 0 && this.stop) return // fewer kinds: what is told too much does no harm
    this.stop?.()
    this.running = key
    if (kinds.length === 0) return
    let first = true
    const told = this.revision === null ? new Set(kinds) : more // of the others nothing was missed
    this.stop = follow({
      path: () => {
        const since = this.revision === null ? "" : `&since=${this.revision}`
        return `/api/v1/watch?kinds=${key}${since}`
      },
      onEvent: event => {
        if (event.event === "bookmark") {
          this.revision = (JSON.parse(event.data) as { revision: number }).revision
          if (first) this.fall(this.revision, told)
          first = false
        } else if (event.event === "put" || event.event === "remove") {
          if (event.id) this.revision = Number(event.id)
          this.take({ verb: event.event, resource: JSON.parse(event.data) })
        } else if (event.event === "error") {
          if ((JSON.parse(event.data) as { code: string }).code === "store.compacted") this.forget(kinds)
        }
      },
      onLink: link => this.say({ link }),
      onProblem: problem => {
        if (problem.details.status === 401) {
          this.say({ signedOut: true })
          this.running = ""
          return false
        }
        if (problem.code === "store.compacted") this.forget(kinds)
        return true
      },
    })
  }

  /** The server does not remember that far back: start anew, and read everything again. */
  private forget(kinds: readonly string[]): void {
    this.revision = null
    this.fall(Number.POSITIVE_INFINITY, new Set(kinds))
  }

  private fall(before: number, kinds: ReadonlySet<string>): void {
    for (const hearer of this.lost) hearer(before, kinds)
  }

  private take(change: Change): void {
    this.waiting.push(change)
    if (!this.frame) this.frame = requestAnimationFrame(() => this.flush())
  }

  private flush(): void {
    this.frame = 0
    const changes = this.waiting
    this.waiting = []
    for (const hearer of this.hearers) hearer(changes)
  }

  private say(news: Partial<LiveState>): void {
    const link = news.link ?? this.state.link
    const brokenSince = link === "broken" ? (this.state.brokenSince ?? Date.now()) : null
    const next = { ...this.state, ...news, link, brokenSince }
    if (JSON.stringify(next) === JSON.stringify(this.state)) return
    this.state = next
    for (const watcher of this.watchers) watcher()
  }
}

export const live = new Live()
