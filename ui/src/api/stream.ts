/**
 * Stream: server-sent events over fetch, which unlike EventSource tells why it was refused.
 *
 * In this room   follow(), one stream that comes back after each break until it is stopped
 * Comes in       a path for each (re)connection
 * Goes out       events, and what the connection is like
 * Always true    after a break it waits 0.5 to 10 s, longer each time; a page that nobody looks at holds no
 *                connection (browsers have six for a server)
 */
import { createParser, type EventSourceMessage } from "eventsource-parser"
import { type Problem, problemOf } from "./client"

export type Link = "connecting" | "open" | "broken" | "paused"

export type Follower = {
  path: () => string
  onEvent: (event: EventSourceMessage) => void
  onLink?: (link: Link) => void
  /** refused before it began: true to go on trying */
  onProblem?: (problem: Problem) => boolean
}

const SILENT_MS = 40_000 // the server says something each 15 s

/** Follow a stream; returns how to stop. */
export function follow(follower: Follower): () => void {
  let stopped = false
  let cut: AbortController | undefined
  let wake: (() => void) | undefined

  const visible = () => {
    if (document.visibilityState === "hidden") cut?.abort()
    else wake?.()
  }
  const online = () => wake?.()
  document.addEventListener("visibilitychange", visible)
  window.addEventListener("online", online)

  const run = async () => {
    let tries = 0
    while (!stopped) {
      if (document.visibilityState === "hidden") {
        follower.onLink?.("paused")
        await new Promise<void>(resolve => {
          wake = resolve
        })
        continue
      }
      follower.onLink?.(tries === 0 ? "connecting" : "broken")
      cut = new AbortController()
      const outcome = await once(follower, cut)
      if (stopped) return
      if (outcome === "refused") return
      tries = outcome === "spoke" ? 0 : tries + 1
      if (document.visibilityState === "visible") {
        follower.onLink?.("broken")
        await pause(Math.min(10_000, 500 * 2 ** tries), resume => {
          wake = resume
        })
      }
    }
  }
  void run()
  return () => {
    stopped = true
    cut?.abort()
    wake?.()
    document.removeEventListener("visibilitychange", visible)
    window.removeEventListener("online", online)
  }
}

/** One connection, to its end. */
async function once(follower: Follower, cut: AbortController): Promise<"spoke" | "silent" | "refused"> {
  let spoke = false
  let watchdog = setTimeout(() => cut.abort(), SILENT_MS)
  const parser = createParser({ onEvent: follower.onEvent })
  try {
    const response = await fetch(follower.path(), {
      headers: { accept: "text/event-stream" },
      credentials: "same-origin",
      signal: cut.signal,
    })
    if (!response.ok || !response.body) {
      const problem = problemOf(await response.json().catch(() => undefined), response.status)
      return follower.onProblem?.(problem) === false ? "refused" : "silent"
    }
    follower.onLink?.("open")
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      spoke = true
      clearTimeout(watchdog)
      watchdog = setTimeout(() => cut.abort(), SILENT_MS)
      parser.feed(value)
    }
  } catch {
    // a break like any other: the loop comes back
  } finally {
    clearTimeout(watchdog)
  }
  return spoke ? "spoke" : "silent"
}

function pause(ms: number, early: (resume: () => void) => void): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(resolve, ms)
    early(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}
