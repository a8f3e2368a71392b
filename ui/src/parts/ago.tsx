/** Ago: how long ago something was, and it stays true while somebody looks. */
import { useSyncExternalStore } from "react"
import { useTranslation } from "react-i18next"
import { ago, moment } from "../look/format"

const EACH_MS = 10_000
const watchers = new Set<() => void>()
let ticks = 0
let timer: ReturnType<typeof setInterval> | undefined

/** One clock for all that are on screen. */
function watch(watcher: () => void): () => void {
  watchers.add(watcher)
  timer ??= setInterval(() => {
    ticks += 1
    for (const told of watchers) told()
  }, EACH_MS)
  return () => {
    watchers.delete(watcher)
    if (watchers.size > 0) return
    clearInterval(timer)
    timer = undefined
  }
}

export function Ago({ at }: { at: number | null | undefined }) {
  useTranslation() // in the language of now
  useSyncExternalStore(watch, () => ticks)
  return (
    <time dateTime={at ? new Date(at * 1000).toISOString() : undefined} title={moment(at)}>
      {ago(at)}
    </time>
  )
}
