/** Theme: light or dark, as the system says until somebody chooses. */
import { useSyncExternalStore } from "react"

export type Theme = "light" | "dark"
const KEPT = "corral.theme"
const system = window.matchMedia("(prefers-color-scheme: dark)")
const watchers = new Set<() => void>()

export function theme(): Theme {
  const kept = localStorage.getItem(KEPT)
  if (kept === "light" || kept === "dark") return kept
  return system.matches ? "dark" : "light"
}

function draw(): void {
  document.documentElement.classList.toggle("pf-v6-theme-dark", theme() === "dark")
  for (const watcher of watchers) watcher()
}

export function wear(chosen: Theme): void {
  localStorage.setItem(KEPT, chosen)
  draw()
}

export function startTheme(): void {
  system.addEventListener("change", draw)
  draw()
}

export function useTheme(): Theme {
  return useSyncExternalStore(watcher => {
    watchers.add(watcher)
    return () => watchers.delete(watcher)
  }, theme)
}
