/**
 * Nav: the pages, where they are and what loads them. A new page is a line here.
 *
 * Always true    what is not built has no line: no page is empty. High availability and what-if will be lines
 *                of "fleet" and "decisions".
 */
import { type ComponentType, type LazyExoticComponent, lazy } from "react"
import type { Texts } from "./text/en"

export type Place = {
  path: string
  text: keyof Texts["nav"]
  page: LazyExoticComponent<ComponentType>
  /** its own paths behind `path` belong to it too */
  nested?: boolean
}
export type Section = { text: keyof Texts["nav"]; places: Place[] }

export const SECTIONS: Section[] = [
  {
    text: "fleet",
    places: [
      { path: "/overview", text: "overview", page: lazy(() => import("./pages/overview")) },
      { path: "/nodes", text: "nodes", page: lazy(() => import("./pages/nodes")), nested: true },
      { path: "/vms", text: "vms", page: lazy(() => import("./pages/vms")), nested: true },
    ],
  },
  {
    text: "record",
    places: [
      {
        path: "/operations",
        text: "operations",
        page: lazy(() => import("./pages/operations")),
        nested: true,
      },
      { path: "/events", text: "events", page: lazy(() => import("./pages/events")) },
    ],
  },
]
